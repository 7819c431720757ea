"""Adam with decoupled weight decay, operation by operation as the accelerator does it.

::

    r ← g + β1 r                     the sum of all gradients, each step's discounted by β1
    s ← β2 s + g²                    and of their squares
    w ← w − η' (r / √(s + ε') + λ' w)

A running mean is (1 - β) times its discounted sum, so that the corrections for its start from zero, the mean's own factor and
the learning rate are one number, η': the only ones that differ from step to step are η', λ' and ε'.
"""

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

import numpy as np

from hw.errors import InputError
from hw.isa.functions import Function
from training.functions import apply
from training.layers.module import Parameter
from training.loss_scale import LossScale
from training.numbers import Array
from training.optimiser import Optimiser


class Factors(NamedTuple):
    """A step's η', λ' and ε'."""

    rate: float
    decay: float
    floor: float


class AdamW(Optimiser):
    """``w ← w - η (m̂ / sqrt(v̂ + ε²) + λ w)``: Loshchilov and Hutter, ICLR 2019, but for where ε is added.

    Parameters
    ----------
    betas : tuple of float
        β_1 and β_2, of the running means m of gradients and v of their squares, each at least 0 and below 1; they are rounded
        to binary32.
    epsilon : float
        ε.
    weight_decay, pruned_decay, loss_scale
        See `training.optimiser.Optimiser`.
    """

    def __init__(
        self,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
        pruned_decay: float = 0.0,
        loss_scale: LossScale | None = None,
    ) -> None:
        super().__init__(weight_decay=weight_decay, pruned_decay=pruned_decay, loss_scale=loss_scale)
        if not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"betas must be in 0..1, below 1, not {betas}")
        self.betas, self.epsilon = (float(np.float32(betas[0])), float(np.float32(betas[1]))), epsilon
        self.steps = 0
        self.moments: dict[str, tuple[Array, Array]] = {}

    def begin(self) -> None:
        self.steps += 1

    def factors(self, learning_rate: float, steps: int) -> Factors:
        """The numbers of a step, `steps` steps since the first one included."""
        first, second = ((1 - beta) / (1 - beta**steps) for beta in self.betas)
        share = first / sqrt(second)
        return Factors(learning_rate * share, float(self.weight_decay) / share, self.epsilon**2 / second)

    def update(self, name: str, parameter: Parameter, gradient: Array, learning_rate: np.float32) -> None:
        """Each line rounds every operation once; the order is the engine's."""
        weight = parameter.value
        number = weight.dtype.type
        rate, decay, floor = map(number, self.factors(float(learning_rate), self.steps))
        first, second = map(number, self.betas)
        sums, squares = self.moments.get(name, (np.zeros_like(weight), np.zeros_like(weight)))
        sums, squares = gradient + first * sums, second * squares + gradient * gradient
        self.moments[name] = sums, squares
        direction = _reciprocal_root(squares + floor) * sums
        moved = number(0) + (direction + decay * weight)
        parameter.value = weight - rate * moved

    @property
    def state(self) -> dict[str, Array]:
        found: dict[str, Array] = {"steps": np.array(self.steps, float)}
        for name, (sums, squares) in self.moments.items():
            found |= {f"sum/{name}": sums, f"square/{name}": squares}
        return found

    def restore(self, state: Mapping[str, Array]) -> None:
        self.steps = int(state["steps"])
        names = [name.removeprefix("sum/") for name in state if name.startswith("sum/")]
        self.moments = {name: (state[f"sum/{name}"], state[f"square/{name}"]) for name in names}


def _reciprocal_root(values: Array) -> Array:
    """The function unit's in binary32; IEEE 754's in binary64."""
    return apply(Function.RECIPROCAL_ROOT, values) if values.dtype == np.float32 else 1 / np.sqrt(values)
