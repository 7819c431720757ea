"""Both examples with pytest: pytest -p sim.pytest_kit docs/examples/kit --wave --simulator verilator."""

from pathlib import Path

import halve

from hw.export.folder import to_verilog

FOLDER = Path(__file__).parent


def test_an_amaranth_component(bench):
    bench({"halve.v": to_verilog(halve.Halve(), "halve")}, "halve", "streams_bench", "halves")


def test_a_verilog_module(bench):
    bench({"skid.v": (FOLDER / "skid.v").read_text()}, "skid", "streams_bench", "keeps")
