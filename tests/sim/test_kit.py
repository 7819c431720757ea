from pathlib import Path

import pytest

from hw.config import AcceleratorConfig
from hw.errors import SimulationError
from hw.export import export
from sim.verilator import build

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
