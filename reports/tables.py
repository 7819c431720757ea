"""Tables that sort: columns say what they hold, in what unit, and how it is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.html import fill


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    key : str
        Of the rows.
    title, unit : str
        What the heading says.
    write : callable, optional
        From a value to its text; values that are not text stand on the right.
    """

    key: str
    title: str
    unit: str = ""
    write: Callable[[Any], str] = str


def table(columns: Sequence[Column], rows: Sequence[dict[str, Any]], *, caption: str) -> Markup:
    """A table with sortable columns; a row whose ``flag`` is true is marked."""
    cells = [
        [
            {
                "text": column.write(row[column.key]),
                "value": row[column.key],
                "number": isinstance(row[column.key], int | float) and not isinstance(row[column.key], bool),
            }
            for column in columns
        ]
        for row in rows
    ]
    flags = [bool(row.get("flag")) for row in rows]
    return fill("table.html", columns=columns, rows=list(zip(cells, flags, strict=True)), caption=caption)
