"""The steps of a product whose weights stay in the array."""

from dataflow.machine.units.clock import Fifo
from hw.config import AcceleratorConfig
from hw.isa.commands import Product


class Passing:
    """A product's activations on their way past its weights, see `hw.stationary.StationarySequencer`.

    Parameters
    ----------
    config : AcceleratorConfig
        Size and latencies.
    product : Product
        With `vectors`.
    weights, groups : Fifo
        The words of its operands.
    """

    def __init__(self, config: AcceleratorConfig, product: Product, weights: Fifo, groups: Fifo) -> None:
        self.weights, self.groups = weights, groups
        self.columns, self.apart = config.columns, config.add_latency_cycles
        self.period = max(product.vectors, config.stationary_period_steps)
        rounds = -(-product.rounds // config.columns)
        self.tile_steps = rounds * self.period
        self.steps = product.outer * product.middle * self.tile_steps
        self.tail, self.skew = config.stationary_steps, config.stationary_skew_steps
        self._last_vector = (rounds - 1) * self.period + product.vectors - 1
        self._step = 0

    @property
    def ended(self) -> bool:
        """The array is empty again."""
        return self._step == self.steps + self.tail

    @property
    def ends_tile(self) -> bool:
        """The step before brought out a tile's last word."""
        since = self._step - 1 - self.tail
        return since >= 0 and since % self.tile_steps == self._last_vector

    def step(self) -> bool:
        """Take a step, if its operands are there."""
        column, beside = divmod(self._step % self.period, self.apart)
        weights = self._step < self.steps and not beside and column < self.columns
        groups = self._step < self.steps + self.skew
        if (weights and not self.weights.valid) or (groups and not self.groups.valid):
            return False
        if weights:
            self.weights.take()
        if groups:
            self.groups.take()
        self._step += 1
        return True
