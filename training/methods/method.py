"""What a training method decides."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.program import Stage
from hw.errors import InputError
from hw.ratio import Ratio
from training.numbers import Array


@dataclass(frozen=True)
class Method:
    """Which products are sparse, what the others read, and what pulls on pruned weights.

    Parameters
    ----------
    pruned_decay : float
        λ_w of SR-STE: λ_w (1 - E_in) W joins the weight gradient. At least 0; 0 leaves the term out.
    """

    pruned_decay: float = 0.0

    name: ClassVar[str]
    """What the command line calls it."""
    sparse_stages: ClassVar[frozenset[Stage]]
    """Products that read packed weights, in the layers that are pruned."""

    def __post_init__(self) -> None:
        if not self.pruned_decay >= 0:
            raise InputError(f"pruned_decay must be at least 0, not {self.pruned_decay}")

    def dense_operand(self, weights: Array, ratio: Ratio) -> Array:
        """What products outside `sparse_stages` read, of storage weights (outputs, *kernel, inputs)."""
        return weights
