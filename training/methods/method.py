"""What a training method decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import Stage
from dataflow.network import Shape
from hw.errors import InputError
from hw.ratio import Ratio
from training.methods.site import Site
from training.nm import Mask, select
from training.numbers import Array


@dataclass(frozen=True)
class Method:
    """Which products are sparse, what each reads, and what pulls on pruned weights.

    A method overrides the hooks in which it differs from dense training; a `Site` tells it of the layer. Where a product's
    weights are packed, its hook gives back the very array that it was given, of which the N largest of every M are kept then,
    or one that holds the method's own choice: N of every M, the others zero.

    Parameters
    ----------
    pruned_decay : float
        λ_w of SR-STE: λ_w (1 - E_in) W joins the weight gradient. At least 0; 0 leaves the term out.
    """

    pruned_decay: float = 0.0

    name: ClassVar[str]
    """What the command line calls it."""
    sparse_stages: ClassVar[frozenset[Stage]]
    """Products that read N:M operands in training, in the layers that are pruned."""
    prunes: ClassVar[bool] = True
    """Whether the ratio means anything to it."""
    packed_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    """Those of `sparse_stages` whose weights are packed; an activation gradient that is pruned instead is masked."""

    note: ClassVar[str] = ""
    """What an accelerator's report must say of it, where its cycles are not all that the method is."""
    keeps_fewer: ClassVar[bool] = False
    """Whether its own choice may be of fewer than N of M, such as that of masks along two axes."""

    def __post_init__(self) -> None:
        if not self.pruned_decay >= 0:
            raise InputError(f"pruned_decay must be at least 0, not {self.pruned_decay}")

    def ratios(self, shapes: Mapping[str, Shape], ratio: Ratio) -> dict[str, Ratio]:
        """Each pruned layer's ratio, by its weights' shape (outputs, *kernel, inputs)."""
        return dict.fromkeys(shapes, ratio)

    def packing_ratio(self, site: Site) -> Ratio:
        """At which ratio weights are packed now; at a dense one they are not."""
        return site.ratio

    def forward_weights(self, weights: Array, site: Site) -> Array:
        """What the forward product reads, before packing, of storage weights (outputs, *kernel, inputs)."""
        return weights

    def backward_weights(self, weights: Array, site: Site) -> Array:
        """What the input gradient's product reads, before packing, in the same layout."""
        return weights

    def pruned(self, weights: Array, site: Site) -> Mask | None:
        """Which weights `pruned_decay` pulls on, (outputs, *kernel, inputs); None of them. Asked after the other hooks."""
        return ~select(weights, site.ratio)

    def output_order(self, weights: Array, site: Site) -> NDArray[np.intp] | None:
        """The order of output channels in which the backward weights are grouped; None leaves them as they are."""
        return None

    def input_gradient_operand(self, gradient: Array, site: Site) -> Array:
        """The output gradient, storage (batch, ..., outputs), as the input gradient's product reads it."""
        return gradient

    def weight_gradient_operand(self, gradient: Array, site: Site) -> Array:
        """The output gradient, (batch and pixels, outputs), as the weight gradient's product reads it."""
        return gradient

    def weight_gradient(self, gradient: Array, site: Site) -> Array:
        """What becomes of the weight gradient (outputs, *kernel, inputs)."""
        return gradient


def kept(weights: Array, ratio: Ratio, axis: int = -1) -> Array:
    """``W·E``: weights that are not among the N largest of their M become +0."""
    return np.where(select(weights, ratio, axis), weights, weights.dtype.type(0))
