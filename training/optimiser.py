"""Stochastic gradient descent on binary32 masters, operation by operation as the weight update engine does it."""

from collections.abc import Iterable
from math import inf

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from training.layers.module import Parameter
from training.loss_scale import LossScale


class Sgd:
    """SGD with momentum and weight decay.

    Parameters
    ----------
    momentum, weight_decay : float
        μ, at least 0 and below 1, and λ, at least 0.
    pruned_decay : float
        λ_w of SR-STE, on weights that a parameter's `pruned` marks.
    loss_scale : LossScale or None
        A fresh one where not given.
    """

    def __init__(
        self,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        pruned_decay: float = 0.0,
        loss_scale: LossScale | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must be in 0..1, below 1, not {momentum}")
        if not 0 <= weight_decay < inf:
            raise InputError(f"weight_decay must be at least 0, not {weight_decay}")
        self.momentum = np.float32(momentum)
        self.weight_decay = np.float32(weight_decay)
        self.pruned_decay = np.float32(pruned_decay)
        self.loss_scale = loss_scale or LossScale()
        self.velocities: dict[str, NDArray[np.float32]] = {}

    def step(self, parameters: Iterable[tuple[str, Parameter]], learning_rate: float) -> bool:
        """Update every parameter, or none when any gradient is not finite; say which it was."""
        parameters = list(parameters)
        finite = all(bool(np.isfinite(parameter.gradient).all()) for _, parameter in parameters)
        if finite:
            with np.errstate(all="ignore"):
                for name, parameter in parameters:
                    self._update(name, parameter, np.float32(learning_rate))
        self.loss_scale.record(finite=finite)
        return finite

    def _update(self, name: str, parameter: Parameter, learning_rate: np.float32) -> None:
        """Each line rounds every operation once; the order is the engine's."""
        weight = parameter.value
        gradient = parameter.gradient * np.float32(1 / self.loss_scale.scale)
        if parameter.pruned is not None:
            gradient = np.where(parameter.pruned, gradient + self.pruned_decay * weight, gradient)
        gradient = gradient + self.weight_decay * weight
        velocity = self.momentum * self.velocities.get(name, np.float32(0)) + gradient
        self.velocities[name] = velocity
        parameter.value = weight - learning_rate * velocity
