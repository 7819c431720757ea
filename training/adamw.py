"""Adam with decoupled weight decay."""

from collections.abc import Mapping

import numpy as np

from hw.errors import InputError
from training.layers.module import Parameter
from training.loss_scale import LossScale
from training.numbers import Array
from training.optimiser import Optimiser


class AdamW(Optimiser):
    """``w ← w - η λ w``, then ``w ← w - η m̂ / (sqrt(v̂) + ε)``: Loshchilov and Hutter, ICLR 2019.

    Parameters
    ----------
    betas : tuple of float
        β_1 and β_2, of the running means m of gradients and v of their squares, each at least 0 and below 1.
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
        self.betas, self.epsilon = betas, epsilon
        self.steps = 0
        self.means: dict[str, Array] = {}
        self.squares: dict[str, Array] = {}

    def begin(self) -> None:
        self.steps += 1

    def update(self, name: str, parameter: Parameter, gradient: Array, learning_rate: np.float32) -> None:
        """In the precision of the masters; both means start from zero and are corrected for it."""
        weight = parameter.value - learning_rate * self.weight_decay * parameter.value
        zero = np.zeros_like(weight)
        for running, beta, term in ((self.means, self.betas[0], gradient), (self.squares, self.betas[1], gradient * gradient)):
            running[name] = running.get(name, zero) * beta + term * (1 - beta)
        first, second = (1 - beta**self.steps for beta in self.betas)
        spread = np.sqrt(self.squares[name]) / second**0.5 + self.epsilon
        parameter.value = weight - float(learning_rate) / first * self.means[name] / spread

    @property
    def state(self) -> dict[str, Array]:
        moments = {f"mean/{name}": array for name, array in self.means.items()}
        return (
            moments | {f"square/{name}": array for name, array in self.squares.items()} | {"steps": np.array(self.steps, float)}
        )

    def restore(self, state: Mapping[str, Array]) -> None:
        self.steps = int(state["steps"])
        self.means, self.squares = (
            {name.removeprefix(kind): array for name, array in state.items() if name.startswith(kind)}
            for kind in ("mean/", "square/")
        )
