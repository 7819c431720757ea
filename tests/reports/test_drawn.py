"""Plots and pages by what they draw: heights, places and labels are read back from the figure."""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from dataflow import zoo
from dataflow.analysis.report import GEMM, report
from dataflow.ir.program import Stage
from hw.config import PRESETS
from hw.ratio import Ratio
from reports import plots, sections
from reports.causes import CAUSES, causes
from reports.colours import ENERGY, STAGES
from reports.units import shortened

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
FAINT = 0.42
"""Opacity of dense bars."""


@pytest.fixture(scope="module")
def result():
    return report(zoo.load("cnn"), PRESETS["tiny"], method="bdwp", sparse_stages=BOTH, ratio=Ratio(2, 8), batch=4)


def axes_of(figure):
    return figure.axes[0]


def key_of(bar, colours):
    """Whose colour a bar has."""
    red, green, blue, _ = bar.get_facecolor()
    return next(key for key, colour in colours.items() if to_rgba(colour)[:3] == pytest.approx((red, green, blue)))


def test_the_bar_of_the_step_is_its_stages_dense_above_sparse(result):
    axes = axes_of(plots._step(result))
    for place, cycles in enumerate((result["dense_cycles"], result["cycles"])):
        bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == place]
        assert [key_of(bar, STAGES) for bar in bars] == list(STAGES)
        end = 0.0
        for bar, key in zip(bars, STAGES, strict=True):
            assert bar.get_x() == pytest.approx(end)
            assert bar.get_width() == pytest.approx(cycles[key] / 1e6)
            end += cycles[key] / 1e6
        assert end == pytest.approx(cycles["step"] / 1e6)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dense", "bdwp 2:8"]
    assert axes.yaxis_inverted()  # the first stands above


@pytest.mark.parametrize("draw, field", [(plots._layers, "cycles"), (plots._traffic, "memory_bytes")])
def test_bars_of_layers_are_dense_and_pale_on_the_left_sparse_on_the_right(result, draw, field):
    axes = axes_of(draw(result))
    names = list(dict.fromkeys(row["name"] for row in result["layers"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == [shortened(name) for name in names]
    found = {}
    for bar in axes.patches:
        middle = bar.get_x() + bar.get_width() / 2
        place = round(middle)
        side = "dense_" if middle < place else ""
        assert (bar.get_alpha() == FAINT) == (side == "dense_")
        found[names[place], key_of(bar, STAGES), side] = (bar.get_y(), bar.get_height())
    for side in ("dense_", ""):
        for name in names:
            floor = 0.0
            rows = [row for stage in GEMM for row in result["layers"] if (row["name"], row["stage"]) == (name, stage)]
            for row in rows:
                low, height = found.pop((name, row["stage"], side))
                assert (low, height) == pytest.approx((floor, row[f"{side}{field}"] / 1e6))
                floor += height
    assert not found


def test_utilization_is_that_of_the_sparse_products_in_percent(result):
    axes = axes_of(plots._utilization(result))
    heights = sorted((key_of(bar, STAGES), round(bar.get_height(), 6)) for bar in axes.patches)
    assert heights == sorted((row["stage"], round(100 * row["utilization"], 6)) for row in result["layers"])


def test_energy_is_dense_above_sparse(result):
    axes = axes_of(plots._energy(result))
    for place, joules in enumerate((result["energy"]["dense_joules"], result["energy"]["joules"])):
        bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == place]
        assert [(key_of(bar, ENERGY), pytest.approx(bar.get_width())) for bar in bars] == [(key, joules[key]) for key in ENERGY]


def test_the_roofline_has_rings_where_the_dense_products_are(result):
    axes = axes_of(plots._roofline(result))
    rate = result["accelerator"]["dram_bytes_per_cycle"]
    assert rate == 2 * 8  # a beat of 64 bits either way in each cycle
    rings, dots = [], []
    for line in axes.lines:
        if line.get_marker() == "o":
            hollow = line.get_markerfacecolor() == "none"
            (rings if hollow else dots).append((line.get_xdata()[0], line.get_ydata()[0]))

    def expected(prefix, rows):
        triples = [(row[f"{prefix}macs"], row[f"{prefix}cycles"], row[f"{prefix}memory_bytes"]) for row in rows]
        return [(macs / size, macs / max(cycles, size / rate)) for macs, cycles, size in triples]

    pruned = [row for row in result["layers"] if row["dense_macs"] != row["macs"]]
    np.testing.assert_allclose(dots, expected("", result["layers"]))
    np.testing.assert_allclose(rings, expected("dense_", pruned))
    assert len(pruned) == 4  # conv2 and conv3, forward and input gradient


def test_sensitivity_draws_each_curve_under_its_name():
    points = [
        {"bytes_per_second": rate, "batch": rate / 1e9, "images_per_second": 3 * rate, "dense_images_per_second": 2 * rate}
        for rate in (1e9, 2e9, 4e9)
    ]
    below = {name: {"dense": None, "sparse": 2e9 if name == "bandwidth" else 2.0} for name in ("bandwidth", "batch")}
    drawn = []
    kept, plots._image = plots._image, lambda figure, kind: drawn.append(figure) or b""
    try:
        plots.sensitivity("net", points, points, below)
    finally:
        plots._image = kept
    for axes, xs in zip(drawn[0].axes, ([1, 2, 4], [1, 2, 4]), strict=True):
        lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
        for label, factor, style in (("dense", 2, "--"), ("sparse", 3, "-")):
            assert list(lines[label].get_xdata()) == pytest.approx(xs)
            assert list(lines[label].get_ydata()) == pytest.approx([factor * 1e9 * x for x in (1, 2, 4)])
            assert lines[label].get_linestyle() == style
        (mark,) = (line for line in axes.lines if line.get_marker() == "o")
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((2, 6e9))


def test_causes_are_shares_of_their_own_step(result):
    text = str(causes(result))
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)]
    found = {row[0]: row[1:] for row in rows if row}
    for cause, name in CAUSES.items():
        dense, sparse = result["dense_breakdown"][cause], result["breakdown"][cause]
        assert [re.sub(r"[^\d.]", "", figure) for figure in found[name]] == [
            str(dense),
            f"{100 * dense / sum(result['dense_breakdown'].values()):.1f}",
            str(sparse),
            f"{100 * sparse / sum(result['breakdown'].values()):.1f}",
        ]


def test_labels_of_the_step_are_its_shares(result):
    body = str(sections.where_time_goes(result).body)
    labels = re.findall(r"<span[^>]*>(\d+)\xa0%</span>", body)
    expected = []
    for cycles in (result["dense_cycles"], result["cycles"]):
        shares = {key: 100 * cycles[key] / cycles["step"] for key in STAGES}
        room = 0.05 * result["dense_cycles"]["step"]  # of the longer bar: a narrower part has no label
        expected += [f"{share:.0f}" for key, share in shares.items() if share > 6 and cycles[key] > room]
    assert labels == expected and len(labels) >= 6
    widths = [float(width) for width in re.findall(r'<i style="width:([\d.]+)%', body)]
    whole = result["dense_cycles"]["step"]  # the longer of the two
    drawn = [100 * cycles[key] / whole for cycles in (result["dense_cycles"], result["cycles"]) for key in STAGES]
    assert widths == pytest.approx([width for width in drawn if width], abs=0.001)


def test_labels_of_energy_are_its_shares(result):
    labels = re.findall(r"<span[^>]*>(\d+)\xa0%</span>", str(sections.energy(result).body))
    expected = []
    for joules in (result["energy"]["dense_joules"], result["energy"]["joules"]):
        shares = [100 * joules[key] / joules["step"] for key in ENERGY]
        expected += [f"{share:.0f}" for share in shares if share > 6]
    assert labels == expected and labels


def test_accuracies_are_marks_with_their_deviations_and_what_is_far_off_is_text():
    """Nine methods of 96 to 98 %, one that does not train: its mean and deviation are written at the left edge."""

    def row(method, ratio, mean, deviation):
        return {
            "model": "net",
            "method": method,
            "settings": "",
            "wide": False,
            "ratio": ratio,
            "mean": mean,
            "deviation": deviation,
        }

    found = {f"m{number}": (0.96 + 0.002 * number, 0.001 * number) for number in range(9)} | {"poor": (0.5, 0.25)}
    rows = [row("dense", "dense", 0.98, 0.004), *(row(name, "2:8", *numbers) for name, numbers in found.items())]
    axes = axes_of(plots._accuracies(rows, lambda row: row["method"]))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["poor", *(f"m{number}" for number in range(9))]  # the best one stands highest
    seen = {}
    for bar in axes.containers:
        ((x,), (y,)), ((start, end),) = bar[0].get_data(), bar[2][0].get_segments()
        assert start[1] == end[1] == y
        seen[names[round(y)]] = pytest.approx((x / 100, (end[0] - start[0]) / 200))
    assert seen == {name: numbers for name, numbers in found.items() if name != "poor"}
    (text,) = axes.texts
    assert (names[round(text.get_position()[1])], text.get_text().strip(" \u25c2")) == ("poor", "50.0 \u00b1 25.0")
    low, high = axes.get_xlim()
    assert low < 96 and high > 98.4
    (line,) = (line for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[-1] and len(line.get_xdata()) == 2)
    assert line.get_xdata()[0] == pytest.approx(98)
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (pytest.approx(97.6), pytest.approx(0.8))


def test_accuracies_of_a_model_that_always_diverged_are_all_that_they_can_be():
    row = {"model": "mlp", "settings": "", "wide": False, "mean": None, "deviation": 0.0}
    rows = [row | {"method": "dense", "ratio": "dense"}, row | {"method": "bdwp", "ratio": "2:8"}]
    axes = axes_of(plots._accuracies(rows, lambda one: one["method"]))
    assert [text.get_text() for text in axes.texts] == ["every training diverged"]
    assert axes.get_xlim() == (0, 100)
    assert not axes.lines and not axes.containers and axes.get_figure().legends == []


@pytest.mark.parametrize("draw", [plots._step, plots._utilization, plots._energy, plots._roofline])
def test_ticks_and_keys_are_of_one_size(result, draw):
    figure = draw(result)
    ticks = [*axes_of(figure).get_xticklabels(), *axes_of(figure).get_yticklabels()]
    keys = [text for legend in figure.legends for text in legend.get_texts()]
    assert keys and {text.get_fontsize() for text in (*ticks, *keys)} == {9}
