# amaranth: UnusedElaboratable=no
"""The pages of docs/blocks say what the blocks declare."""

import re
from pathlib import Path

import pytest

from hw.array.stce import STCE
from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.engines.functions import FunctionUnit
from hw.engines.pregenerate import Pregenerate
from hw.engines.sore import SORE
from hw.engines.transpose import Transpose
from hw.engines.vpu import VPU
from hw.engines.wuve import WUVE
from hw.formats import BINARY16, BINARY32
from hw.fp import FloatAdd, FloatConvert, FloatMultiply

DOCS = Path(__file__).parents[2] / "docs"
ODD = AcceleratorConfig(
    name="odd", rows=3, columns=5, multiply_latency_cycles=3, add_latency_cycles=7, sore_lanes=8, wuve_lanes=8
)
BLOCKS = {
    "stce": STCE,
    "uspe": USPE,
    "sore": SORE,
    "wuve": WUVE,
    "vpu": VPU,
    "functions": FunctionUnit,
    "transpose": lambda _: Transpose(16, size=16, lanes=8),
}


def text(page):
    return (DOCS / "blocks" / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", BLOCKS)
def test_latency_and_interval(block):
    name, number, interval = re.search(r"^Latency (?:`(\w+)`|(\d+)).*?\binterval (\d+)", text(block), re.M | re.S).groups()
    component = BLOCKS[block](ODD)
    assert component.latency_cycles == (getattr(ODD, name) if name else int(number))
    assert component.interval_cycles == int(interval)


def test_latency_and_interval_of_pregeneration():
    _, _, page = text("transpose").partition("## Pre-generation")
    forward, backward = re.findall(r"`((?:forward|backward)_copy_latency_cycles)`", page)
    block = Pregenerate(ODD)
    assert block.forward_latency_cycles == getattr(ODD, forward)
    assert block.backward_latency_cycles == getattr(ODD, backward)
    assert f"Interval {block.interval_cycles}." in page


def test_latency_and_interval_of_floating_point():
    assert "Latency `latency_cycles`, as the constructor was told, interval 1" in text("float")
    for block in FloatMultiply(BINARY16, BINARY32, 3), FloatAdd(BINARY32, 3), FloatConvert(BINARY32, BINARY16, 3):
        assert (block.latency_cycles, block.interval_cycles) == (3, 1)


def test_every_page_and_every_testbench_is_in_the_index_and_on_a_page():
    index, pages = text("README"), {path.stem for path in (DOCS / "blocks").glob("*.md")} - {"README"}
    assert set(re.findall(r"\[[\w-]+(?: \w+)?\]\((\w+)\.md", index)) == pages
    benches = {path.name for path in (DOCS / "examples").glob("*_bench.py")}
    assert set(re.findall(r"examples/(\w+_bench\.py)\)", index)) == benches
    shown = [found for page in pages for found in re.findall(r"^python docs/examples/(\w+_bench\.py)$", text(page), re.M)]
    assert sorted(shown) == sorted(benches)
