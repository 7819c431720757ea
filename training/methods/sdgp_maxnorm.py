"""SDGP that keeps the size of every gradient map."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw.errors import InputError
from training.methods.method import kept
from training.methods.sdgp import Sdgp
from training.methods.site import Site
from training.numbers import Array


@dataclass(frozen=True)
class SdgpMaxnorm(Sdgp):
    """SDGP with each (sample, channel) map of ``dy·E`` times ``S_full / (S_kept + epsilon)``, S the L1 norm over H and W.

    Norms are of the gradient as stored, times the loss scale. McDanel et al., ICPR 2022.

    Parameters
    ----------
    epsilon : float
        Above 0; 1e-4 as published.
    """

    epsilon: float = 1e-4

    name: ClassVar[str] = "sdgp-maxnorm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epsilon > 0:
            raise InputError(f"epsilon must be above 0, not {self.epsilon}")

    def input_gradient_operand(self, gradient: Array, site: Site) -> Array:
        pruned = kept(gradient, site.ratio).astype(np.float32)
        pixels = tuple(range(1, gradient.ndim - 1))
        full = np.abs(gradient).sum(axis=pixels, keepdims=True, dtype=np.float32)
        remaining = np.abs(pruned).sum(axis=pixels, keepdims=True, dtype=np.float32)
        return (pruned * (full / (remaining + np.float32(self.epsilon)))).astype(gradient.dtype, copy=False)
