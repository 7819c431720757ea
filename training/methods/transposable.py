"""One mask that is N:M along both axes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataflow.ir.program import Stage
from hw.errors import InputError
from training.methods.method import Method
from training.methods.site import Site
from training.numbers import Array
from training.transposable import transposable_mask


@dataclass(frozen=True)
class Transposable(Method):
    """``y = (W·E_t) x``, ``dx = (W·E_t)^T dy``, ``dW = dy x^T``; E_t is chosen anew every 40 steps.

    E_t keeps at most N of every M along input and along output channels, each group of a grouped convolution apart; see
    `training.transposable`. Hubara et al., *Accelerated sparse neural training: a provable and efficient method to find N:M
    transposable masks*, NeurIPS 2021.

    Parameters
    ----------
    refresh_steps : int
        Steps after which E_t is chosen anew, at least 1.
    """

    refresh_steps: int = 40

    name: ClassVar[str] = "transposable"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    keeps_fewer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refresh_steps < 1:
            raise InputError(f"refresh_steps must be at least 1, not {self.refresh_steps}")

    def forward_weights(self, weights: Array, site: Site) -> Array:
        if "mask" not in site.memory or site.moment.step % self.refresh_steps == 0:
            parts = [transposable_mask(part, site.ratio) for part in np.split(weights, site.groups)]
            site.memory["mask"] = np.concatenate(parts)
        return weights * site.memory["mask"]

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return weights * site.memory["mask"]
