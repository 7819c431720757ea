"""Sections on what was really run: accuracy, training curves, and the RTL beside its models."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from markupsafe import Markup

from reports.charts import Line, curves
from reports.colours import METHODS, NAMES
from reports.html import Section, fill
from reports.tables import Column, table
from reports.units import grouped


def accuracy(shares: Mapping[str, float], *, lead: str = "") -> Section:
    """Test accuracy of each method beside the first one's.

    Parameters
    ----------
    shares : mapping of str to float
        Method to accuracy, 0..1; the first is what the others are compared with.
    lead : str
        What was trained on what.
    """
    base = next(iter(shares.values()))
    figures = [
        {
            "value": f"{100 * share:.2f}",
            "unit": "%",
            "name": name,
            "note": "" if position == 0 else f"{100 * (share - base):+.2f} points".replace("-", "\N{MINUS SIGN}"),
        }
        for position, (name, share) in enumerate(shares.items())
    ]
    return Section("Accuracy", fill("headline.html", figures=figures), lead)


def training_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], *, x_title: str = "epoch", title: str = "Training", lead: str = ""
) -> Section:
    """One chart a quantity, one line a method, under a title and a sentence of its own.

    Parameters
    ----------
    histories : mapping of str to (mapping of str to sequence of float)
        Method to quantity (such as ``"test accuracy, %"``) to its values, one each `x_title` from 1. Of several the first is
        what the others are compared with, and dashed.
    """
    quantities = list(dict.fromkeys(name for history in histories.values() for name in history))
    charts = []
    for quantity in quantities:
        lines = [
            Line(method, METHODS[position % len(METHODS)], _finite(history.get(quantity, ())), dashed=position == 0)
            for position, (method, history) in enumerate(histories.items(), int(len(histories) == 1))
        ]
        lines = [line for line in lines if line.values]
        if lines:
            charts.append(curves(lines, x_title=x_title, y_title=quantity))
    body = Markup('<div class="charts">') + Markup("").join(charts) + Markup("</div>")
    return Section(title, body, lead)


def cosimulation(rows: Sequence[dict[str, Any]], *, lead: str = "") -> Section:
    """The RTL beside NumPy, word by word, and beside the cycle model.

    Parameters
    ----------
    rows : sequence of dict
        One a command: ``layer``, ``stage``, ``m``, ``n``, ``k``, ``words_compared``, ``words_different``, ``rtl_cycles`` and
        ``model_cycles``.
    lead : str
        What was run on what.
    """
    marked = [row | {"flag": bool(row["words_different"] or row["rtl_cycles"] != row["model_cycles"])} for row in rows]
    columns = [
        Column("layer", "layer"),
        Column("stage", "stage", write=lambda stage: NAMES.get(stage, stage)),
        Column("m", "m", "rows", grouped),
        Column("n", "n", "columns", grouped),
        Column("k", "k", "terms", grouped),
        Column("words_compared", "compared", "words", grouped),
        Column("words_different", "different", "words", grouped),
        Column("rtl_cycles", "RTL", "cycles", grouped),
        Column("model_cycles", "model", "cycles", grouped),
    ]
    body = fill("headline.html", figures=_verdict(rows))
    return Section("RTL beside its models", body + table(columns, marked, caption="Each command on the RTL"), lead)


def _finite(values: Sequence[float]) -> list[tuple[float, float]]:
    """Values with their numbers from 1; those that are not numbers (a run that diverged) leave a gap."""
    return [(number, value) for number, value in enumerate(values, 1) if isfinite(value)]


def _verdict(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    words, different, rtl, model = (
        sum(row[key] for row in rows) for key in ("words_compared", "words_different", "rtl_cycles", "model_cycles")
    )
    unequal = sum(row["rtl_cycles"] != row["model_cycles"] for row in rows)
    return [
        {
            "value": grouped(different),
            "unit": "",
            "name": "words differ from NumPy",
            "note": f"of {grouped(words)}, bit for bit",
        },
        {
            "value": grouped(rtl),
            "unit": "",
            "name": "cycles on the RTL",
            "note": f"the model says {grouped(model)}",
        },
        {
            "value": grouped(unequal),
            "unit": "",
            "name": "commands differ in cycles",
            "note": f"of {grouped(len(rows))}, RTL beside model",
        },
    ]
