"""A fixed mask, and a second one on top of it for the input gradient."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import Stage
from hw.errors import InputError
from training.methods.random_mask import RandomMask
from training.methods.site import Site
from training.nm import select
from training.numbers import Array


@dataclass(frozen=True)
class Slope(RandomMask):
    """``y = (W·E_r) x``, ``dx = (W·E_r·E_out)^T dy``, ``dW = dy x^T·E_r``: weights are pruned twice for the input gradient.

    E_r is drawn once, N of every M input channels. E_out keeps the N largest of every M output channels of W·E_r, chosen anew
    every 100 steps as the authors' code does. Gradients and what the optimiser remembers exist where E_r keeps weights: an
    update moves N of every M. Mozaffari et al., *SLoPe: Double-pruned sparse plus lazy low-rank adapter pretraining of LLMs*,
    ICLR 2025, without the adapters of its last steps.

    Parameters
    ----------
    refresh_steps : int
        Steps after which E_out is chosen anew, at least 1.
    """

    refresh_steps: int = 100

    name: ClassVar[str] = "slope"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    keeps_fewer: ClassVar[bool] = True
    note: ClassVar[str] = (
        "The accelerator's update moves every weight: that gradients and what the optimiser remembers are N of every M in SLoPe"
        " saves nothing here."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refresh_steps < 1:
            raise InputError(f"refresh_steps must be at least 1, not {self.refresh_steps}")

    def backward_weights(self, weights: Array, site: Site) -> Array:
        masked = weights * site.memory["mask"]

        def choose() -> NDArray:
            return np.concatenate([select(part, site.ratio, 0) for part in np.split(masked, site.groups)])

        return masked * site.chosen("backward_mask", self.refresh_steps, choose)
