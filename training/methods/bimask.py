"""Two masks, the backward one among what the forward one keeps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import Stage
from hw.errors import InputError
from training.methods.method import Method, kept
from training.methods.site import Site
from training.nm import Mask, grouped
from training.numbers import Array


@dataclass(frozen=True)
class BiMask(Method):
    """``y = (W·E_in) x``, ``dx = (W·E_in·E_out')^T dy``, ``dW = dy x^T + λ_w (1 - E_in) W``.

    E_out' keeps the N largest of every M along output channels of W·E_in, channels in an order that is chosen anew every
    100 steps: of 10 random ones the first that leaves the most weights in both masks. Zhang et al., *Bi-directional masks for
    efficient N:M sparse training*, ICML 2023, as their code has it.

    Parameters
    ----------
    refresh_steps, candidates : int
        The 100 and the 10, each at least 1.
    """

    pruned_decay: float = 2e-4
    refresh_steps: int = 100
    candidates: int = 10

    name: ClassVar[str] = "bimask"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    keeps_fewer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.refresh_steps, self.candidates) < 1:
            raise InputError(f"refresh_steps and candidates must be at least 1, not {self.refresh_steps} and {self.candidates}")

    def backward_weights(self, weights: Array, site: Site) -> Array:
        masked = kept(weights, site.ratio)
        order = self._order(masked, site)
        parts = np.split(masked[order], site.groups)
        both = np.empty_like(masked)
        both[order] = np.concatenate([kept(part, site.ratio, 0) for part in parts])
        return both

    def output_order(self, weights: Array, site: Site) -> NDArray[np.intp] | None:
        return site.memory["order"]

    def _order(self, masked: Array, site: Site) -> NDArray[np.intp]:
        """The present order, or once in 100 steps another; a step whose order a checkpoint brought keeps it."""

        def choose() -> NDArray[np.intp]:
            orders = [_shuffled(len(masked), site) for _ in range(self.candidates)]
            return max(orders, key=lambda order: survivors(masked[order] != 0, site))

        return site.chosen("order", self.refresh_steps, choose)


def survivors(mask: Mask, site: Site) -> int:
    """Of the weights that `mask` keeps, (outputs, *kernel, inputs), how many are left by N of every M outputs."""
    parts = (np.moveaxis(part, 0, -1).astype(np.uint8) for part in np.split(mask, site.groups))
    counts = [grouped(part, site.ratio).sum(-1, dtype=np.int64) for part in parts]
    return sum(int(np.minimum(count, site.ratio.n).sum()) for count in counts)


def _shuffled(outputs: int, site: Site) -> NDArray[np.intp]:
    """Output channels in random order within each group of a grouped convolution."""
    share = outputs // site.groups
    return np.concatenate([site.rng.permutation(share) + share * group for group in range(site.groups)])
