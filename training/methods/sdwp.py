"""Structured pruning of the backward weights."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method


@dataclass(frozen=True)
class Sdwp(Method):
    """``y = W x``, ``dx = (W·E_out)^T dy``, ``dW = dy x^T``.

    SDGP's twin: weights are pruned along output channels in place of gradients. The comparison in Fang et al., *Efficient
    N:M sparse DNN training using algorithm, architecture, and dataflow co-design*, IEEE TCAD 2023.
    """

    name: ClassVar[str] = "sdwp"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INPUT_GRADIENT})
