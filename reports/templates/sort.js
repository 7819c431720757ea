// A click on a heading sorts its table by that column: numbers from large to small first, text from a to z.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const number = heading.classList.contains("number");
    const was = heading.getAttribute("aria-sort");
    const order = was ? (was === "ascending" ? "descending" : "ascending") : number ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[column].dataset.value;
    const compare = number ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
  });
}
