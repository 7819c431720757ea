"""What the array spends a step on, as a table: every cycle has one cause."""

from typing import Any

from markupsafe import Markup

from reports.tables import Column, table
from reports.units import grouped

CAUSES = {
    "compute": "multiply-accumulates",
    "fill_drain": "emptying the array",
    "operands": "waiting for operands",
    "memory": "waiting for stores",
    "vector": "waiting for vector work",
    "update": "waiting for updates",
    "idle": "nothing left to multiply",
}
"""What readers call them."""


def causes(result: dict[str, Any]) -> Markup:
    """Cycles and shares by cause, dense beside sparse; each column sums to the step."""
    dense, sparse = result["dense_breakdown"], result["breakdown"]
    rows = [
        {
            "cause": CAUSES[cause],
            "dense": dense[cause],
            "dense_share": dense[cause] / result["dense_cycles"]["step"],
            "sparse": sparse[cause],
            "share": sparse[cause] / result["cycles"]["step"],
        }
        for cause in CAUSES
    ]
    columns = [
        Column("cause", "the array's time", "by cause"),
        Column("dense", "dense", "cycles", grouped),
        Column("dense_share", "dense", "% of step", _hundredths),
        Column("sparse", "sparse", "cycles", grouped),
        Column("share", "sparse", "% of step", _hundredths),
    ]
    return table(columns, rows, caption="What each cycle of the array is spent on")


def _hundredths(share: float) -> str:
    return f"{100 * share:.1f}"
