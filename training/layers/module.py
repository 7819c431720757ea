"""What every layer is to the model."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from dataflow import network
from training.backend import Backend
from training.nm import Mask, Packed
from training.numbers import Array

L = TypeVar("L", bound=network.Layer)
Capture = dict[str, Array | Packed]
"""Named tensors of a step, as the accelerator's program names its regions."""


@dataclass
class Parameter:
    """A learned tensor.

    Parameters
    ----------
    value : ndarray, float32
        The master copy.
    gradient : ndarray, shape and dtype of `value`
        Of the last step, still times the loss scale.
    pruned : ndarray of bool or None
        Where the forward mask is zero, if the method decays those weights (SR-STE).
    """

    value: Array
    gradient: Array = field(init=False)
    pruned: Mask | None = None

    def __post_init__(self) -> None:
        self.gradient = np.zeros_like(self.value)


@dataclass(frozen=True)
class Pass:
    """What a forward or backward pass is for.

    Parameters
    ----------
    training : bool
        Whether statistics are of the batch and a backward pass may follow.
    capture : dict or None
        Takes the tensors that layers record.
    """

    training: bool = False
    capture: Capture | None = None

    def record(self, layer: str, **tensors: Array | Packed) -> None:
        """Keep `tensors` as ``<layer>.<name>``, if anyone asked."""
        if self.capture is not None:
            self.capture.update({f"{layer}.{name}": tensor for name, tensor in tensors.items()})


class Module(ABC, Generic[L]):
    """A trainable layer: remembers of its forward pass what its derivative needs.

    Parameters
    ----------
    layer : dataflow.network.Layer
        What to compute.
    backend : Backend
        With which arithmetic.
    weight_shape : tuple of int
        Of a weighted layer, else the per-sample shape of its input.
    rng : numpy.random.Generator
        Draws the initial weights.
    """

    def __init__(self, layer: L, backend: Backend, weight_shape: network.Shape, rng: np.random.Generator) -> None:
        self.layer = layer
        self.backend = backend
        self.parameters: dict[str, Parameter] = {}
        self.statistics: dict[str, Array] = {}
        self.rng: np.random.Generator | None = None
        """The layer's own, where its forward pass draws."""
        self.setup(weight_shape, rng)

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        """Make parameters and statistics; most layers have none."""

    @abstractmethod
    def forward(self, *inputs: Array, how: Pass) -> Array:
        """Map storage values (batch, ...) to storage values (batch, ...)."""

    @abstractmethod
    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        """The loss's gradient with respect to each input, storage values, from that of the last output."""

    @property
    def state(self) -> dict[str, Any]:
        """Every array that a trained layer consists of, by name."""
        return {name: parameter.value for name, parameter in self.parameters.items()} | self.statistics
