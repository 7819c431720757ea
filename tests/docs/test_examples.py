"""The examples that the documentation shows run, and show what it says."""

import runpy
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2] / "docs" / "examples"


def test_an_element_of_ones_own_runs_in_the_same_array(capsys):
    runpy.run_path(str(FOLDER / "own_pe.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("0 of 330 words differ")


def test_it_is_another_element():
    """Truncated products do differ from the USPE's: the example cannot pass with the element left out."""
    from hw.config import PRESETS
    from hw.ratio import Ratio
    from sim.rtl.gemm import Gemm, reference

    example = runpy.run_path(str(FOLDER / "own_pe.py"))
    operands = Gemm(config=PRESETS["tiny"], m=33, n=10, k=64, ratio=Ratio(2, 8)).operands()
    exact = reference(PRESETS["tiny"], operands).view(np.uint32)
    assert np.count_nonzero(example["reference"](operands).view(np.uint32) != exact) > exact.size / 2
