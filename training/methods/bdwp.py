"""Bidirectional weight pruning."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method


@dataclass(frozen=True)
class Bdwp(Method):
    """``y = (W·E_in) x``, ``dx = (W·E_out)^T dy``, ``dW = dy x^T``, straight-through; SR-STE's term where λ_w > 0.

    Fang et al., *Efficient N:M sparse DNN training using algorithm, architecture, and dataflow co-design*, IEEE TCAD 2023.
    """

    name: ClassVar[str] = "bdwp"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
