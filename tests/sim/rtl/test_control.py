"""What a host may do to the registers: settings, starts, resets, in cocotb against the RTL of the whole."""

from pathlib import Path

import control_bench
import pytest

from hw.config import PRESETS
from sim.harness.run_programs import LOADED
from sim.rtl.sat import MEMORY_BYTES, build_sat


@pytest.mark.parametrize("case", ["settings_are_taken_at_start", "settings_that_cannot_be_are_errors", "the_watchdog_is_on",
                                  "what_lasts_and_what_does_not"])  # fmt: skip
def test_registers(tmp_path, monkeypatch, case):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (tmp_path / LOADED).write_bytes(control_bench.image().tobytes())
    (tmp_path / "options.txt").write_text(f"20 1 0 64 0 {MEMORY_BYTES}\n")
    build_sat(PRESETS["tiny"]).run("control_bench", work=tmp_path, environment={}, testcase=case)
