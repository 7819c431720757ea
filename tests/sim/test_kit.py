import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import pywellen

from hw.config import AcceleratorConfig
from hw.errors import SimulationError
from hw.export.folder import export
from hw.formats import BINARY16, BINARY32
from sim import simulators
from sim.kit import check_words
from sim.simulators.verilator import build

CONFIG = AcceleratorConfig(name="kit", rows=2, columns=2, max_group=8)


@pytest.fixture(scope="module")
def simulator():
    return build({"stce.v": export(CONFIG)[0]}, "stce", note="the kit's test")


@pytest.fixture(autouse=True)
def bench_is_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_product_word_by_word(tmp_path, simulator, stall):
    simulator.run("kit_bench", work=tmp_path, environment={"STALL": str(stall)}, testcase="product")


def test_a_word_taken_back_fails_the_test(tmp_path, simulator):
    with pytest.raises(SimulationError, match="broken_contract"):
        simulator.run("kit_bench", work=tmp_path, environment={"STALL": "0"}, testcase="broken_contract")
    assert "was on offer and became None" in (tmp_path / "simulation.log").read_text()


ROOT = Path(__file__).parents[2]
SKID = (ROOT / "docs" / "examples" / "kit" / "skid.v").read_text()


def test_a_second_reset_starts_no_second_clock(bench):
    bench({"skid.v": SKID}, "skid", "kit_names_bench", "reset_twice")


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("dead_sink", "m_axis: 0 of 3 words came: nothing for 50 clock cycles"),
        ("dead_source", "s_axis: word 2 was on offer and not taken for 50 clock cycles"),
        ("dead_trigger", "m_axis_tvalid falls: nothing for 30 clock cycles"),
        ("wrong_names", "skid has no stream 'm_axis': m_axis_x, m_axis_y, m_axis_z"),
    ],
)
def test_a_dead_design_fails_with_a_line(bench, tmp_path, case, told):
    with pytest.raises(SimulationError, match=case):
        bench({"skid.v": SKID}, "skid", "kit_names_bench", case)
    assert f"AssertionError: {told}" in (tmp_path / "simulation.log").read_text()


@pytest.mark.parametrize("simulator", simulators.SIMULATORS)
def test_the_command_line_takes_a_simulator_and_leaves_waveforms(tmp_path, simulator):
    """Of the example on the page, as its reader runs it: what passed is in the waveform."""
    if simulator != "verilator" and not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    options = ["--wave", "--simulator", simulator, "-k", "verilog", "-p", "no:cacheprovider", "--basetemp", tmp_path / "runs"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "sim.pytest_kit", *options, "docs/examples/kit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (dump,) = (tmp_path / "runs").rglob("dump.fst")
    wave = pywellen.Waveform(str(dump))
    (output,) = (one for one in wave.all_vars() if one.full_name.endswith("skid.m_axis_tdata"))
    values = {value for _, value in output.tv if isinstance(value, int)}
    assert set(range(0x4000, 0x4040)) <= values


def test_words_are_compared_by_bits():
    check_words([1, 2], [1, 2])
    told = {
        "1 of 2 words differ\nword 1: 0x2, not 0x3": ([1, 2], [1, 3], None),
        "1 of 2 words differ\nword 1: none, not 0x3": ([1], [1, 3], None),
        "1 of 1 words differ\nword 0: 0x8000 (sign 1, exponent 0x0, significand 0x0), not "
        "0x0000 (sign 0, exponent 0x0, significand 0x0)": ([0x8000], [0], BINARY16),
        "1 of 1 words differ\nword 0: 0x3fc00001 (sign 0, exponent 0x7f, significand 0x400001), not "
        "0x3fc00000 (sign 0, exponent 0x7f, significand 0x400000)": ([0x3FC00001], [0x3FC00000], BINARY32),
    }
    for text, (found, expected, number_format) in told.items():
        with pytest.raises(AssertionError, match=f"^{re.escape(text)}$"):
            check_words(found, expected, number_format)
