"""The testbench kit in pytest: a fixture, the simulator and waveforms by the command line.

``-p sim.pytest_kit`` on it, or in ``addopts``, or ``pytest_plugins = ["sim.pytest_kit"]`` in a conftest, make it known.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hw.errors import InputError
from sim import simulators

WAVE_FILE = "dump.fst"

Bench = Callable[..., Path]
"""``bench(sources, top, module, testcase=None, **environment)``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("testbench")
    group.addoption("--simulator", choices=simulators.SIMULATORS, default="verilator", help="which runs the fixture `bench`")
    group.addoption("--wave", action="store_true", help=f"leave {WAVE_FILE} in the working folder of each run of `bench`")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Builds Verilog, or takes the simulator from the cache, and runs a module of cocotb tests; the run's folder.

    ``sources`` are Verilog by file name, ``top`` the top module, ``module`` the name of a module beside the test's file,
    ``testcase`` one of its tests, otherwise all run. ``environment`` is what the tests find in `os.environ`. Where the
    simulator is not installed the test is skipped.
    """
    simulator, wave = request.config.getoption("--simulator"), request.config.getoption("--wave")
    to = tmp_path / WAVE_FILE if wave else None
    monkeypatch.syspath_prepend(str(Path(inspect.getfile(request.module)).parent))

    def run(
        sources: Mapping[str, str], top: str, module: str, testcase: str | None = None, **environment: str
    ) -> Path:  # fmt: skip
        try:
            built = simulators.build(sources, top, simulator, traced=wave)
        except InputError as error:
            pytest.skip(str(error))
        built.run(module, work=tmp_path, environment=environment, testcase=testcase, wave=to)
        if to:
            print(f"waveforms: {to}")
        return tmp_path

    yield run
