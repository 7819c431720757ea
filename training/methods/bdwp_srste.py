"""BDWP with SR-STE's pull on pruned weights."""

from dataclasses import dataclass
from typing import ClassVar

from training.methods.bdwp import Bdwp


@dataclass(frozen=True)
class BdwpSrSte(Bdwp):
    """BDWP's products, ``dW = dy x^T + λ_w (1 - E_in) W`` with SR-STE's λ_w = 2e-4.

    Fang et al., IEEE TCAD 2023; the term from Zhou et al., ICLR 2021.
    """

    pruned_decay: float = 2e-4

    name: ClassVar[str] = "bdwp-srste"
