"""Building simulators once, and running cocotb in them."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw.cache import sealed
from hw.errors import InputError
from sim.simulators import compilation, verilator
from sim.simulators.verilator import SimulationError, build

COUNTER = """
module counter (input logic clk, output logic [7:0] count = 0, output logic [7:0] first);
  logic [7:0] table_of_one [0:0];
  initial $readmemh("table.hex", table_of_one);
  assign first = table_of_one[0];
  always @(posedge clk) count <= count + 8'd1;
endmodule
"""

TESTS = """
import os
import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer

@cocotb.test()
async def counts(dut):
    Clock(dut.clk, 2, unit="step").start()
    await ClockCycles(dut.clk, 10)
    assert int(dut.count.value) == int(os.environ["NMTRAIN_EXPECTED"])

@cocotb.test()
async def reads(dut):
    await Timer(1, unit="step")
    assert int(dut.first.value) == 0x5A
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of these tests' own that starts with the runtime library already compiled, where there is one."""
    folder = tmp_path_factory.mktemp("cache")
    for runtime in verilator.cache_folder().glob("runtime-*"):
        shutil.copytree(runtime, folder / runtime.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMTRAIN_CACHE", str(folder))
        yield folder


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "counter_tests.py").write_text(TESTS)
    (tmp_path / "table.hex").write_text("5A\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def executables(cache):
    return {path: path.stat().st_mtime_ns for path in (cache / "simulators").glob("*/counter")}


def test_second_build_is_the_first_and_a_changed_source_is_another(cache, work):
    first = build({"counter.sv": COUNTER}, "counter")
    built = executables(cache)
    assert build({"counter.sv": COUNTER}, "counter") == first
    assert executables(cache) == built
    by_two = build({"counter.sv": COUNTER.replace("8'd1", "8'd2")}, "counter")
    assert len(executables(cache)) == len(built) + 1
    first.run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "9"})
    by_two.run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "18"})


def test_failing_test_is_named_with_the_log(cache, work):
    simulator = build({"counter.sv": COUNTER}, "counter")
    with pytest.raises(SimulationError, match=r"counter_tests on counter: failed: counts\n(.*\n)*.*AssertionError"):
        simulator.run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "0"})
    assert "NMTRAIN_EXPECTED" not in os.environ
    simulator.run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "0"}, testcase="reads")


def test_missing_module_and_missing_test_fail(cache, work):
    simulator = build({"counter.sv": COUNTER}, "counter")
    with pytest.raises(SimulationError, match="no_such_module"):
        simulator.run("no_such_module", work=work, environment={})
    with pytest.raises(SimulationError, match="counter_tests on counter: no test ran"):
        simulator.run("counter_tests", work=work, environment={}, testcase="no_such_test")


def test_error_in_the_design_fails(cache, work):
    odd = COUNTER.replace("endmodule", 'always @(posedge clk) if (count == 5) $error("five"); endmodule')
    with pytest.raises(SimulationError, match=r"counter_tests on counter: failed: counts, reads\n(.*\n)*.*five"):
        build({"counter.sv": odd}, "counter").run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "9"})


def test_combinational_loop_is_refused(cache):
    loop = "module loop (input a, output o); wire x = ~(y & a); wire y = ~(x | a) ^ x; assign o = y; endmodule"
    with pytest.raises(SimulationError, match=r"Verilator cannot build loop:\n(.*\n)*.*UNOPTFLAT"):
        build({"loop.sv": loop}, "loop")
    assert not list((cache / "simulators").glob("*/loop"))


def build_counter(variant):
    os.environ["PATH"] = str(variant["path"])
    return build({"counter.sv": variant["source"]}, "counter").folder


def test_two_processes_want_the_same_build(cache, work):
    variant = {"path": os.environ["PATH"], "source": COUNTER.replace("8'd1", "8'd3")}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(build_counter, [variant, variant])
    assert first == second
    assert sorted(path.name for path in Path(first).iterdir()) == ["counter", "counter.sha256"]


def test_interrupted_build_leaves_nothing(cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    source = {"counter.sv": COUNTER.replace("8'd1", "8'd5")}
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "_call", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(source, "counter")
    assert not list((cache / "simulators").glob(".*"))
    assert (build(source, "counter").folder / "counter").is_file()


def test_what_is_damaged_in_the_cache_is_built_again(cache, work):
    folder = build({"counter.sv": COUNTER}, "counter").folder
    whole = (folder / "counter").read_bytes()
    (folder / "counter").write_bytes(whole[: len(whole) // 2])
    simulator = build({"counter.sv": COUNTER}, "counter")
    assert sealed(folder / "counter") == (folder / "counter").read_bytes() and len(sealed(folder / "counter")) > len(whole) // 2
    simulator.run("counter_tests", work=work, environment={"NMTRAIN_EXPECTED": "9"})


def test_the_log_of_a_failure_outlives_its_folder(cache, work):
    simulator = build({"counter.sv": COUNTER}, "counter")
    with pytest.raises(SimulationError) as failed:
        simulator.run("counter_tests", work=work / "gone", environment={"NMTRAIN_EXPECTED": "0"})
    shutil.rmtree(work / "gone", ignore_errors=True)
    (named,) = re.findall(r"the end of (\S+):", str(failed.value))
    assert "AssertionError" in Path(named).read_text()


STALLED = """
import os, time, cocotb

@cocotb.test()
async def stalls(dut):
    open("pid", "w").write(str(os.getpid()))
    time.sleep(600)
"""
RUN = "import sys; from pathlib import Path; from sim.simulators.verilator import Build;" + (
    "Build(Path(sys.argv[1]), 'counter').run('stalled', work=Path(sys.argv[2]), environment={})"
)


def test_a_simulation_ends_with_the_command_that_is_killed(cache, work):
    folder = build({"counter.sv": COUNTER}, "counter").folder
    (work / "stalled.py").write_text(STALLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(work), *sys.path])}
    command = subprocess.Popen([sys.executable, "-c", RUN, str(folder), str(work)], env=environment)
    until((work / "pid").exists)
    until(lambda: (work / "pid").read_text())
    simulation = int((work / "pid").read_text())
    assert os.path.exists(f"/proc/{simulation}")
    command.kill()
    command.wait()
    until(lambda: not os.path.exists(f"/proc/{simulation}") or "State:\tZ" in Path(f"/proc/{simulation}/status").read_text())


def until(what):
    """Wait until `what` is true, however slow the machine is."""
    while not what():
        time.sleep(0.01)


def test_missing_compiler_is_told_in_a_line(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        InputError, match=r"^the simulator needs a C\+\+ compiler, and none of c\+\+, g\+\+, clang\+\+ was found"
    ):
        build({"counter.sv": COUNTER.replace("8'd1", "8'd7")}, "counter")


def test_unwritable_cache_is_told_in_a_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"the cache cannot be written: .*; set NMTRAIN_CACHE to another folder"):
        build({"counter.sv": COUNTER}, "counter")
