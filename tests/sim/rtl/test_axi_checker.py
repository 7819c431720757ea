"""The checker of AXI's rules passes what keeps them and counts what breaks each."""

from pathlib import Path

import pytest
from axi_bench import CASES

from sim.rtl.sat import HARNESS
from sim.simulators.verilator import build


@pytest.fixture(autouse=True)
def bench_is_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("case", CASES)
def test_a_rule(tmp_path, case):
    simulator = build({"axi_checker.sv": (HARNESS / "axi_checker.sv").read_text(encoding="utf-8")}, "axi_checker")
    simulator.run("axi_bench", work=tmp_path, environment={"CASE": case})
