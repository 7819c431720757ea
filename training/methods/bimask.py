"""Two masks, the backward one among what the forward one keeps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataflow.program import Stage
from training.methods.method import Method, kept
from training.methods.site import Site
from training.numbers import Array

REFRESH_STEPS = 100
CANDIDATES = 16


@dataclass(frozen=True)
class BiMask(Method):
    """``y = (W·E_in) x``, ``dx = (W·E_in·E_out')^T dy``, ``dW = dy x^T + λ_w (1 - E_in) W``.

    E_out' keeps the N largest of every M along output channels of W·E_in, channels in an order that is chosen anew every
    100 steps: of 16 random ones and the present one, that which keeps the largest sum of magnitudes. Zhang et al.,
    *Bi-directional masks for efficient N:M sparse training*, ICML 2023.
    """

    pruned_decay: float = 2e-4

    name: ClassVar[str] = "bimask"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return kept(weights, site.ratio)

    def output_order(self, weights: Array, site: Site) -> NDArray[np.intp] | None:
        if self._due(site):
            present = site.memory.get("order", np.arange(len(weights)))
            orders = [present, *(_shuffled(len(weights), site) for _ in range(CANDIDATES))]
            site.memory["order"] = max(orders, key=lambda order: self._remaining(weights[order], site))
            site.memory["chosen_at"] = np.array(site.moment.step)
        return site.memory["order"]

    def _due(self, site: Site) -> bool:
        """Once every 100 steps: where a training goes on from a checkpoint, that step's order is there already."""
        if "order" not in site.memory:
            return True
        return site.moment.step % REFRESH_STEPS == 0 and site.moment.step != site.memory["chosen_at"]

    def _remaining(self, ordered: Array, site: Site) -> float:
        """Sum of magnitudes that both masks keep, each group of a grouped convolution apart."""
        parts = np.split(ordered, site.groups)
        return sum(float(np.abs(kept(part, site.ratio, 0)).sum(dtype=np.float64)) for part in parts)


def _shuffled(outputs: int, site: Site) -> NDArray[np.intp]:
    """Output channels in random order within each group of a grouped convolution."""
    share = outputs // site.groups
    return np.concatenate([site.rng.permutation(share) + share * group for group in range(site.groups)])
