"""Dropout, and where a network gets it."""

from dataclasses import dataclass, replace

import numpy as np

from dataflow import network
from hw.errors import InputError
from training.layers.module import Module, Pass
from training.numbers import Array


@dataclass(frozen=True, kw_only=True)
class Dropout(network.Layer):
    """Zeroes elements at random in training; `rate` is their share."""

    rate: float


class DropoutModule(Module[Dropout]):
    """``x · k / (1 - rate)``, k drawn 0 with probability `rate` in training; x itself else. Srivastava et al., JMLR 2014."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        self.rng = rng.spawn(1)[0]

    def forward(self, *inputs: Array, how: Pass) -> Array:
        wide = self.backend.wide
        self.factor = np.ones((), wide)
        if how.training and self.layer.rate and self.rng is not None:
            kept = self.rng.random(inputs[0].shape) >= self.layer.rate
            self.factor = kept.astype(wide) * wide(1 / (1 - self.layer.rate))
        return self.backend.store(inputs[0] * self.factor)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (self.backend.store(gradient * self.factor),)


def with_dropout(plain: network.Network, rate: float) -> network.Network:
    """`plain` with dropout before its classifier, the last weighted layer; rate in 0..1, below 1, 0 changes nothing."""
    if not 0 <= rate < 1:
        raise InputError(f"dropout must be in 0..1, below 1, not {rate}")
    if not rate:
        return plain
    last = list(plain.weighted())[-1]
    dropped = Dropout(name=f"{last.name}.dropout", inputs=last.inputs, rate=rate)
    layers: list[network.Layer] = []
    for layer in plain.layers:
        layers += [dropped, replace(layer, inputs=(dropped.name,))] if layer is last else [layer]
    return replace(plain, layers=tuple(layers))
