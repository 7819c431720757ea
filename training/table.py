"""A sweep's accuracies as a table for readers."""

from typing import Any


def markdown(rows: list[dict[str, Any]]) -> str:
    """One Markdown table a model: methods by ratios, mean ± sample deviation of the test accuracy over seeds, in percent.

    Parameters
    ----------
    rows : list of dict
        As `training.sweep.summarise` gives them.
    """
    return "\n".join(_table(model, [row for row in rows if row["model"] == model]) for model in _unique(rows, "model"))


def _table(model: str, rows: list[dict[str, Any]]) -> str:
    names = {name_of(row): None for row in rows}
    cells = {(name_of(row), row["ratio"]): reached(row) for row in rows}
    ratios = _unique(rows, "ratio")
    lines = [[f"`{model}`", *ratios], ["---"] * (len(ratios) + 1)]
    lines += [[name, *(cells.get((name, ratio), "") for ratio in ratios)] for name in names]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def reached(row: dict[str, Any]) -> str:
    """A row's accuracy, and of how many trainings it is not."""
    if row["mean"] is None:
        return "diverged"
    return f"{100 * row['mean']:.2f} ± {100 * row['deviation']:.2f}" + (
        f" ({row['diverged']} diverged)" if row["diverged"] else ""
    )


def name_of(row: dict[str, Any]) -> str:
    """A row's method with what is set of it."""
    return ", ".join([row["method"], *([row["settings"]] if row["settings"] else []), *(["wide"] if row["wide"] else [])])


def _unique(rows: list[dict[str, Any]], column: str) -> list[str]:
    """Values of a column in their order."""
    return list(dict.fromkeys(row[column] for row in rows))
