"""What a training method is told of a layer that it prunes, and what it remembers there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio


@dataclass(frozen=True)
class Moment:
    """How far a training is.

    Parameters
    ----------
    step : int
        Updates made so far.
    steps : int or None
        Updates of the whole training; None where nobody knows its end.
    """

    step: int = 0
    steps: int | None = None

    @property
    def fraction(self) -> float:
        """Of the training that is done, 0..1; 0 where its end is not known."""
        return min(self.step / self.steps, 1.0) if self.steps else 0.0

    @property
    def finished(self) -> bool:
        """Whether the last update is made."""
        return self.steps is not None and self.step >= self.steps


@dataclass
class Site:
    """A pruned layer as its method sees it.

    Parameters
    ----------
    ratio : Ratio
        N kept of every M here.
    rng : numpy.random.Generator
        The layer's own.
    groups : int
        Of a grouped convolution, else 1.
    moment : Moment
        How far the training is.
    memory : dict of str to ndarray
        What the method keeps between steps; part of a checkpoint.
    """

    ratio: Ratio
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    groups: int = 1
    moment: Moment = field(default_factory=Moment)
    memory: dict[str, NDArray] = field(default_factory=dict)

    def chosen(self, name: str, every: int, choose: Callable[[], NDArray]) -> NDArray:
        """What is chosen anew once in `every` steps, and remembered as `name` in between.

        A step whose choice a checkpoint brought keeps it. A method has one such choice: when it was made is ``chosen_at``.
        """
        step, chosen_at = self.moment.step, self.memory.get("chosen_at", -1)
        if name not in self.memory or (step % every == 0 and step != chosen_at):
            self.memory[name] = choose()
            self.memory["chosen_at"] = np.array(step)
        return self.memory[name]
