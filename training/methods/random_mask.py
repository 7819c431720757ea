"""Fixed random masks: the baseline that learns nothing about what to prune."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataflow.ir.program import Stage
from dataflow.network import Shape
from hw.ratio import Ratio
from training.erk import erk_densities
from training.methods.method import Method
from training.methods.site import Site
from training.nm import select
from training.numbers import Array


@dataclass(frozen=True)
class RandomMask(Method):
    """``y = (W·E_r) x``, ``dx = (W·E_r)^T dy``, ``dW = dy x^T·E_r``; E_r is drawn once, N of every M input channels.

    Liu et al., *The unreasonable effectiveness of random pruning*, ICLR 2022.
    """

    name: ClassVar[str] = "random"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD})

    def forward_weights(self, weights: Array, site: Site) -> Array:
        if "mask" not in site.memory:
            site.memory["mask"] = select(site.rng.random(weights.shape, np.float32) + 1, site.ratio)
        return weights * site.memory["mask"]

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return weights * site.memory["mask"]

    def weight_gradient(self, gradient: Array, site: Site) -> Array:
        return gradient * site.memory["mask"]


@dataclass(frozen=True)
class RandomErk(RandomMask):
    """Random masks at layer ratios n:M whose densities follow `training.erk`, n rounded to 1..M."""

    name: ClassVar[str] = "random-erk"

    def ratios(self, shapes: Mapping[str, Shape], ratio: Ratio) -> dict[str, Ratio]:
        densities = erk_densities(shapes, float(ratio.density))
        return {name: Ratio(min(max(round(density * ratio.m), 1), ratio.m), ratio.m) for name, density in densities.items()}
