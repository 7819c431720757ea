"""No pruning."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method


@dataclass(frozen=True)
class Dense(Method):
    """``y = W x``, ``dx = W^T dy``, ``dW = dy x^T``: what every other method is compared with."""

    name: ClassVar[str] = "dense"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()
    prunes: ClassVar[bool] = False
