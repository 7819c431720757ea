"""A step as a timeline in Chrome's trace format, which the Perfetto viewer opens: units as tracks, commands as slices."""

from collections.abc import Iterator, Sequence
from typing import Any

from dataflow.analysis.timeline import Slice

TRACKS = ("array", "vector", "update")
"""From top to bottom."""


def trace(slices: Sequence[Slice], *, clock_hz: float, title: str) -> dict[str, Any]:
    """The trace file's content.

    Parameters
    ----------
    slices : sequence of Slice
        In any order; those of one unit do not overlap.
    clock_hz : float
        The file counts microseconds.
    title : str
        Name of the process.
    """
    events = [*_names(title), *(_event(part, 1e6 / clock_hz) for part in slices)]
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"clock_hz": clock_hz}}


def _names(title: str) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": title}}
    for place, unit in enumerate(TRACKS, 1):
        yield {"ph": "M", "pid": 1, "tid": place, "name": "thread_name", "args": {"name": unit}}
        yield {"ph": "M", "pid": 1, "tid": place, "name": "thread_sort_index", "args": {"sort_index": place}}


def _event(part: Slice, microseconds: float) -> dict[str, Any]:
    """A slice; those in which the array waits say so in front."""
    name = f"{part.layer}, {part.stage}"
    if part.unit == "array" and part.what != "compute":
        name = f"{part.what}: {name}"
    return {
        "ph": "X",
        "pid": 1,
        "tid": 1 + TRACKS.index(part.unit),
        "name": name.replace("_", " "),
        "cat": part.what,
        "ts": round(part.start * microseconds, 4),
        "dur": round((part.end - part.start) * microseconds, 4),
        "args": {"what": part.what, "start_cycle": part.start, "cycles": part.end - part.start},
    }
