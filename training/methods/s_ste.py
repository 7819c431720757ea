"""A continuous pruning function: soft thresholds with a frozen scale."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataflow.ir.program import Stage
from training.methods.method import Method
from training.methods.site import Site
from training.nm import grouped, select
from training.numbers import Array
from training.sampling import sample


@dataclass(frozen=True)
class SSte(Method):
    """``y = β S(W) x``, ``dx = (β S(W))^T dy``, ``dW = s(dy) x^T``, straight through S.

    S takes from each magnitude the largest of those that N:M prunes in its group, so that a weight that leaves the mask has
    come to 0 before: ``S(w) = sign(w) max(|w| - t, 0)``. β is the scale of a whole layer that brings β S(W) nearest to W,
    ``W·S(W) / S(W)·S(W)``, taken once, of the weights that the training starts from. s is an unbiased N:M sample, see
    `training.sampling`. The input gradient reads the same weights, which along output channels form no groups: its product is
    dense. Hu, Zhu, Chen, *S-STE: Continuous pruning function for efficient 2:4 sparse pre-training*, NeurIPS 2024.

    Parameters
    ----------
    sampled : bool
        Whether the weight gradient's product reads a sample of dy, or dy.
    """

    sampled: bool = True

    name: ClassVar[str] = "s-ste"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.WEIGHT_GRADIENT})
    keeps_fewer: ClassVar[bool] = True
    note: ClassVar[str] = (
        "The accelerator samples no gradients: the weight gradient is dense here. Nor does its update engine take soft"
        " thresholds: its packed copies are those of hard ones, at the same cost."
    )

    def forward_weights(self, weights: Array, site: Site) -> Array:
        pruned = soft_threshold(weights, site)
        if site.moment.step == 0:
            site.memory["scale"] = np.asarray(best_scale(weights, pruned))
        return (pruned * site.memory["scale"]).astype(weights.dtype)

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return self.forward_weights(weights, site)

    def weight_gradient_operand(self, gradient: Array, site: Site) -> Array:
        return sample(gradient, site.ratio, site.rng, axis=0) if self.sampled else gradient


def soft_threshold(weights: Array, site: Site) -> Array:
    """S of storage weights (outputs, *kernel, inputs), as float32."""
    magnitudes = np.abs(weights).astype(np.float32)
    pruned = np.where(select(weights, site.ratio), np.float32(0), magnitudes)
    thresholds = np.repeat(grouped(pruned, site.ratio).max(axis=-1), site.ratio.m, axis=-1)[..., : weights.shape[-1]]
    return np.copysign(np.maximum(magnitudes - thresholds, np.float32(0)), weights.astype(np.float32))


def best_scale(weights: Array, pruned: Array) -> np.float32:
    """β that brings β times `pruned` nearest to `weights`, by least squares; 1 where all of `pruned` is 0."""
    wide, kept = weights.astype(np.float64), pruned.astype(np.float64)
    size = (kept * kept).sum()
    return np.float32((wide * kept).sum() / size if size else 1.0)
