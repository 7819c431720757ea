"""Networks from outside, as those of the zoo.

::

    name in the zoo ─────────────────────────────────────────────┐
    model.onnx ──> onnx_graph ──> onnx_layers ──> onnx_reader ───┼──> Imported(network, notes)
                   shapes,          ├ onnx_products   layers     │
                   constants,       │   onnx_einsum   so far     │
                   onnx_branches    │   onnx_windows             │
                                    │   onnx_sequences           │
                                    └ onnx_passes                │
                                        onnx_operators           │
    topology.csv ──> scalesim ──> layers, gaps between them ─────┤
    network.py ────> python_file ────────────────────────────────┘
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataflow import zoo
from dataflow.network import Network, Shape
from hw.errors import InputError


@dataclass(frozen=True)
class Imported:
    """A network, and what of its file was not taken at its word."""

    network: Network
    notes: tuple[str, ...] = ()


def load(name: str, *, skip_unknown: bool = False, shapes: Mapping[str, Shape | float] | None = None) -> Imported:
    """A network by its name in the zoo, or of an ONNX (.onnx), SCALE-Sim topology (.csv) or Python (.py) file.

    Parameters
    ----------
    name : str
        Name or path.
    skip_unknown : bool
        Whether ONNX operators that are not known count as no work instead of being an error.
    shapes : mapping of str to tuple of int, or to float
        Of an ONNX file's inputs that have symbolic axes, batch included; or the number that all elements of one are.

    Raises
    ------
    InputError
        With file and line or node, and what is allowed.
    """
    path = Path(name)
    if path.suffix not in (".onnx", ".csv", ".py"):
        if path.suffix:
            raise InputError(f"unknown workload {name!r}; allowed: {', '.join(zoo.NAMES)}, or a .onnx, .csv or .py file")
        return Imported(zoo.load(name))
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".csv":
        from dataflow.importers.scalesim import read_topology

        return read_topology(path)
    if path.suffix == ".py":
        from dataflow.importers.python_file import read_network

        return Imported(read_network(path))
    from dataflow.importers.onnx_layers import read_onnx  # importing onnx takes longer than most reports

    return read_onnx(path, skip_unknown=skip_unknown, shapes=shapes)
