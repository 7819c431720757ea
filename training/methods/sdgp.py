"""Structured pruning of the data gradient."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method, kept
from training.methods.site import Site
from training.numbers import Array


@dataclass(frozen=True)
class Sdgp(Method):
    """``y = W x``, ``dx = W^T (dy·E)``, ``dW = dy x^T``; E keeps the N largest |dy| of every M output channels.

    McDanel, Dinh, Magallanes, *Accelerating DNN training with structured data gradient pruning*, ICPR 2022.
    """

    name: ClassVar[str] = "sdgp"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INPUT_GRADIENT})
    packed_stages: ClassVar[frozenset[Stage]] = frozenset()

    def input_gradient_operand(self, gradient: Array, site: Site) -> Array:
        return kept(gradient, site.ratio)
