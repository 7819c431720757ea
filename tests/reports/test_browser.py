"""The page as a browser shows it: no error, every plot drawn, readable on a laptop and on a phone."""

import browser
import pytest

from dataflow import zoo
from dataflow.analysis import report as steps
from dataflow.analysis.studies import bandwidth, batches
from dataflow.ir.program import Stage
from hw.config import PRESETS
from hw.ratio import Ratio
from reports import studies
from reports.step import page

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed")
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
LAPTOP, PHONE = 1366, 390
SECTIONS = [
    "What was run", "In short", "Where the time goes", "Layer by layer", "How well the array is used", "Roofline",
    "Memory traffic", "Energy, by a table", "Every product",
]  # fmt: skip

SMALLEST = """Math.min(...[...document.querySelectorAll('main *, header *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length)
    .map(e => e.ownerSVGElement
        ? parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getBoundingClientRect().width / 640
        : parseFloat(getComputedStyle(e).fontSize)))"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    shown = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    given = {"method": "bdwp", "sparse_stages": BOTH, "ratio": Ratio(2, 8)}
    result = steps.report(zoo.load("resnet18/16"), PRESETS["small"], batch=2, **given)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(result, command="nmtrain report resnet18"), encoding="utf-8")
    return path, result


@pytest.fixture(params=[LAPTOP, PHONE], ids=["laptop", "phone"])
def shown(request, chromium, report):
    chromium.errors.clear()
    chromium.open(report[0], request.param)
    return chromium, request.param, report[1]


def test_no_error_and_every_section(shown):
    page, _, _ = shown
    assert page.evaluate("[...document.querySelectorAll('h2')].map(h => h.textContent)") == SECTIONS
    assert page.errors == []


def test_every_plot_is_drawn(shown):
    page, width, result = shown
    drawn = "[...document.querySelectorAll('{}')].filter(e => e.getBoundingClientRect().width > 0.2).length"
    layers = len({row["name"] for row in result["layers"]})
    assert page.evaluate(drawn.format("section:nth-of-type(3) .bar i")) >= 6  # forward, two gradients, both steps
    assert page.evaluate(drawn.format("section:nth-of-type(4) .row")) == layers
    assert page.evaluate(drawn.format(".heat .cells i")) == 3 * layers
    assert page.evaluate(drawn.format("svg circle")) >= len(result["layers"])
    assert page.evaluate("document.querySelector('svg').getBoundingClientRect().width") > 0.75 * min(width, 860)
    assert page.evaluate(drawn.format("section:nth-of-type(7) .row")) == layers
    assert page.evaluate("document.querySelectorAll('section:last-of-type tbody tr').length") == len(result["layers"])


def test_nothing_hangs_over_the_side(shown):
    page, width, _ = shown
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = "[...document.querySelectorAll('h1,h2,p,.headline div,.bar,svg')].filter(e => e.getBoundingClientRect().right >"
    assert page.evaluate(f"{outside} {width} + 1).length") == 0


@pytest.mark.parametrize("width", [1400, 1920])
def test_the_widest_table_is_whole_on_a_wide_screen(chromium, report, tmp_path, width):
    """With the figures of a ResNet-50 of 512 images."""
    _, result = report
    large = {
        "macs": 118_380_036_096,
        "cycles": 131_072_000,
        "dense_cycles": 131_072_000,
        "n": 6_422_528,
        "memory_bytes": 9_876_543_210,
    }
    stalls = {"operand_stall_cycles": 12_345_678, "memory_stall_cycles": 12_345_678}
    rows = [row | large | stalls | {"name": f"layer{place}.10.conv1"} for place, row in enumerate(result["layers"])]
    path = tmp_path / "wide.html"
    path.write_text(page(result | {"layers": rows}), encoding="utf-8")
    chromium.open(path, width)
    assert chromium.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth + 1)")


def test_text_is_large_enough(shown):
    page, _, _ = shown
    assert page.evaluate(SMALLEST) >= 9.5  # pixels; a printed page's smallest notes are about as large


def test_a_click_sorts_the_table(shown):
    page, _, _ = shown
    cells = "[...document.querySelectorAll('section:last-of-type tbody td:nth-of-type(8)')].map(c => +c.dataset.value)"
    page.evaluate("document.querySelectorAll('section:last-of-type th button')[7].click()")
    cycles = page.evaluate(cells)
    assert cycles == sorted(cycles, reverse=True)
    assert page.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"


def test_long_names_show_their_ends(chromium, report, tmp_path):
    """The left edge of a name that is too long is cut off, the right one is inside its box."""
    result = report[1]
    long = "encoder.layers.encoder_layer_10.self_attention.output_projection.{}"
    path = tmp_path / "long.html"
    renamed = [row | {"name": long.format(row["name"])} for row in result["layers"]]
    path.write_text(page(result | {"layers": renamed}), encoding="utf-8")
    for width in (LAPTOP, PHONE):
        chromium.open(path, width)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        box, text = (
            chromium.evaluate(f"(r => [r.left, r.right])(document.querySelector('.layers {name}').getBoundingClientRect())")
            for name in (".name", ".name bdi")
        )
        assert text[0] < box[0] < text[1] <= box[1] + 1


def test_a_study_draws_its_curves(chromium, tmp_path):
    config, network = PRESETS["tiny"], zoo.load("cnn")
    rates = list(bandwidth(network, config, ratio=Ratio(2, 8), batch=4))
    sizes = list(batches(network, config, ratio=Ratio(2, 8)))
    path = tmp_path / "study.html"
    below = {"bandwidth": {"dense": None, "sparse": 7e9}, "batch": {"dense": 2.0, "sparse": 3.0}}
    sections = [studies.sensitivity_section("cnn", rates, sizes, below)]
    path.write_text(studies.page("Sensitivity", sections, subtitle="tiny", command="nmtrain study"), encoding="utf-8")
    for width in (LAPTOP, PHONE):
        chromium.errors.clear()
        chromium.open(path, width)
        assert chromium.evaluate("document.querySelectorAll('svg path.line').length") == 4
        assert chromium.evaluate("document.querySelectorAll('svg circle').length") == 3
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        assert chromium.errors == []
