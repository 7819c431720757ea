"""BDWP with N:M-sampled output gradients: all three products sparse."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.bdwp import Bdwp
from training.methods.site import Site
from training.numbers import Array
from training.sampling import sample


@dataclass(frozen=True)
class BdwpMvue(Bdwp):
    """BDWP's forward and input gradient; ``dW = s(dy) x^T`` with s(dy) an unbiased N:M sample of minimum variance.

    The groups of M run along the reduction, samples and pixels in order, for each output channel; see
    `training.sampling`. Chmiel et al., *Minimum variance unbiased N:M sparsity for the neural gradients*, ICLR 2023.
    """

    name: ClassVar[str] = "bdwp-mvue"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset(Stage)
    note: ClassVar[str] = "The accelerator samples no gradients: the weight gradient is dense here."

    def weight_gradient_operand(self, gradient: Array, site: Site) -> Array:
        return sample(gradient, site.ratio, site.rng, axis=0)
