"""SDGP that keeps the size of every gradient map."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from training.methods.method import kept
from training.methods.sdgp import Sdgp
from training.methods.site import Site
from training.numbers import Array

EPSILON = 1e-4


@dataclass(frozen=True)
class SdgpMaxnorm(Sdgp):
    """SDGP with each (sample, channel) map of ``dy·E`` times ``S_full / (S_kept + 1e-4)``, S the L1 norm over H and W.

    Norms are of the gradient as stored, times the loss scale. McDanel et al., ICPR 2022.
    """

    name: ClassVar[str] = "sdgp-maxnorm"

    def input_gradient_operand(self, gradient: Array, site: Site) -> Array:
        pruned = kept(gradient, site.ratio).astype(np.float32)
        pixels = tuple(range(1, gradient.ndim - 1))
        full = np.abs(gradient).sum(axis=pixels, keepdims=True, dtype=np.float32)
        remaining = np.abs(pruned).sum(axis=pixels, keepdims=True, dtype=np.float32)
        return (pruned * (full / (remaining + np.float32(EPSILON)))).astype(gradient.dtype, copy=False)
