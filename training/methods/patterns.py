"""Patterns that grow sparser, stepwise or geometrically."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from hw.ratio import Ratio
from training.methods.method import Method, kept
from training.methods.site import Site
from training.nm import MAX_GROUP
from training.numbers import Array


@dataclass(frozen=True)
class Patterns(Method):
    """SR-STE's products without its term, at one ratio after the other, for equal shares of the training.

    The forward product is sparse at each of them, so that the ratio asked for, the last, is the least work. SdGf of
    Bambhaniya et al., *Progressive gradient flow for robust N:M sparsity training in transformers*, 2024.
    """

    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD})

    @abstractmethod
    def patterns(self, last: Ratio) -> list[Ratio]:
        """Ratios in order, `last` at the end."""

    def packing_ratio(self, site: Site) -> Ratio:
        if site.moment.steps is None:
            return site.ratio
        patterns = self.patterns(site.ratio)
        return patterns[min(int(site.moment.fraction * len(patterns)), len(patterns) - 1)]

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return kept(weights, self.packing_ratio(site))


@dataclass(frozen=True)
class Stepwise(Patterns):
    """SdGf-stepwise: M-1:M, then half as many kept at a time, down to N:M, such as 15:16, 8:16, 4:16, 2:16."""

    name: ClassVar[str] = "patterns-stepwise"

    def patterns(self, last: Ratio) -> list[Ratio]:
        halves = (last.m >> place for place in range(1, last.m.bit_length()))
        return [Ratio(n, last.m) for n in (last.m - 1, *halves) if n > last.n] + [last]


@dataclass(frozen=True)
class Geometric(Patterns):
    """SdGf-geometric: groups of 8, 4, 2 times M, then N:M, such as 16:64, 8:32, 4:16, 2:8."""

    name: ClassVar[str] = "patterns-geometric"

    def patterns(self, last: Ratio) -> list[Ratio]:
        return [Ratio(f * last.n, f * last.m) for f in (8, 4, 2) if f * last.m <= MAX_GROUP] + [last]
