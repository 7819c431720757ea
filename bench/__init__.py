"""Figures that the project claims, measured: ``make bench`` runs every module here and writes one JSON file.

::

    bench/engine.py    utilisation, speedup, area and clock of the compute engine; export and build
    bench/accelerator.py  random programs, faults, AXI and cycles of the whole accelerator
    bench/board.py    the accelerator on a board: its share of the device, its clock, the bitstream
    bench/products.py  products of the five networks alone, whole steps, over what bounds them; what vector work adds
    bench/machine.py  the SimPy machine: cycles it steps a second, those that it skips, and that these are right
    bench/model.py    speedups and utilisation of the five networks, and what a report costs
    bench/learning.py  steps on the RTL beside NumPy, over the bare loop of the same Verilog
    bench/hostile.py   inputs that mean ill, to every command
    bench/killing.py   commands that are killed at random moments, and run again
    bench/onnx_files.py  public ONNX files: how many are read, and their work against PyTorch's count
    bench/<name>.py    any module with a function ``figures()`` that yields `Figure`
    bench/__main__.py  runs them, prints the table, writes out/bench.json

Tests never time; speed and memory stand here, as ratios within one run where they compare.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Parameters
    ----------
    name : str
        What was measured.
    value : float
        How much.
    unit : str
        Of what; ``"ratio"`` for a quotient.
    configuration : str
        On what, in a few words.
    target : str
        What it should be, such as ``"<= 800"``; empty where there is none.
    """

    name: str
    value: float
    unit: str
    configuration: str
    target: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if not self.target:
            return None
        relation, limit = self.target.split()
        return self.value <= float(limit) if relation == "<=" else self.value >= float(limit)
