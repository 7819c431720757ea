"""Stochastic gradient descent on binary32 masters, operation by operation as the weight update engine does it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from math import inf

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from training.layers.module import Parameter
from training.loss_scale import LossScale
from training.numbers import Array


class Optimiser(ABC):
    """What every optimiser does before its own rule: unscale, skip what is not finite, pull on pruned weights.

    Parameters
    ----------
    weight_decay : float
        λ, at least 0.
    pruned_decay : float
        λ_w of SR-STE, on weights that a parameter's `pruned` marks.
    loss_scale : LossScale or None
        A fresh one where not given.
    """

    def __init__(self, *, weight_decay: float, pruned_decay: float, loss_scale: LossScale | None) -> None:
        if not 0 <= weight_decay < inf:
            raise InputError(f"weight_decay must be at least 0, not {weight_decay}")
        self.weight_decay = np.float32(weight_decay)
        self.pruned_decay = np.float32(pruned_decay)
        self.loss_scale = loss_scale or LossScale()

    def step(self, parameters: Iterable[tuple[str, Parameter]], learning_rate: float) -> bool:
        """Update every parameter, or none when any gradient is not finite; say which it was."""
        parameters = list(parameters)
        finite = all(bool(np.isfinite(parameter.gradient).all()) for _, parameter in parameters)
        if finite:
            self.begin()
            with np.errstate(all="ignore"):
                for name, parameter in parameters:
                    self.update(name, parameter, self._gradient(parameter), np.float32(learning_rate))
        self.loss_scale.record(finite=finite)
        return finite

    def begin(self) -> None:  # noqa: B027 (most count nothing)
        """Count a step whose gradients are finite."""

    @abstractmethod
    def update(self, name: str, parameter: Parameter, gradient: Array, learning_rate: np.float32) -> None:
        """Change one parameter by its unscaled gradient."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Array]:
        """What a checkpoint must hold beside the loss scale."""

    @abstractmethod
    def restore(self, state: Mapping[str, Array]) -> None:
        """Take a checkpoint's `state` back."""

    def _gradient(self, parameter: Parameter) -> Array:
        gradient = parameter.gradient * np.float32(1 / self.loss_scale.scale)
        if parameter.pruned is not None:
            gradient = np.where(parameter.pruned, gradient + self.pruned_decay * parameter.value, gradient)
        return gradient


class Sgd(Optimiser):
    """SGD with momentum and weight decay, by the weight update engine's order of roundings.

    Parameters
    ----------
    momentum : float
        μ, at least 0 and below 1.
    weight_decay, pruned_decay, loss_scale
        See `Optimiser`.
    """

    def __init__(
        self,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        pruned_decay: float = 0.0,
        loss_scale: LossScale | None = None,
    ) -> None:
        super().__init__(weight_decay=weight_decay, pruned_decay=pruned_decay, loss_scale=loss_scale)
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must be in 0..1, below 1, not {momentum}")
        self.momentum = np.float32(momentum)
        self.velocities: dict[str, NDArray[np.floating]] = {}

    def update(self, name: str, parameter: Parameter, gradient: Array, learning_rate: np.float32) -> None:
        """Each line rounds every operation once; the order is the engine's."""
        weight = parameter.value
        gradient = gradient + self.weight_decay * weight
        velocity = self.momentum * self.velocities.get(name, np.float32(0)) + gradient
        self.velocities[name] = velocity
        parameter.value = weight - learning_rate * velocity

    @property
    def state(self) -> dict[str, Array]:
        return dict(self.velocities)

    def restore(self, state: Mapping[str, Array]) -> None:
        self.velocities = dict(state)
