"""What a host should not do: each ends with a named error or as if nothing had been, and what follows runs."""

from pathlib import Path

import abuse_bench

from hw.config import PRESETS
from sim import simulators
from sim.rtl import sat


def test_kinds_of_abuse(tmp_path, monkeypatch):
    """Every fourth, some of each family; ``make bench ONLY=host`` plays all of them with several seeds."""
    assert len(abuse_bench.KINDS) >= 100
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    build = simulators.build({"sat.v": sat.verilog(PRESETS["tiny"])}, "sat")
    build.run("abuse_bench", work=tmp_path, environment={"SEEDS": "1", "EVERY": "4"}, testcase="abuse")
