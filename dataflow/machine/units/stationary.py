"""The steps of a product whose weights stay in the array."""

import numpy as np

from dataflow.machine.units.clock import Fifo
from dataflow.machine.units.rows import Numbers, Rows
from dataflow.machine.units.state import State
from hw.config import AcceleratorConfig
from hw.isa.commands import Product


class Periods(Rows):
    """The steps of a product whose weights stay, a period for each block of weights, and those that empty the array."""

    def __init__(self, config: AcceleratorConfig, product: Product) -> None:
        self.product = product
        self.period = max(product.vectors, config.stationary_period_steps)
        self.rounds = -(-product.rounds // config.columns)
        self.steps = product.outer * product.middle * self.rounds * self.period
        self.tail, self.skew = config.stationary_steps, config.stationary_skew_steps
        self.end = self.steps + self.tail
        # Steps behind which a tile's last word is out: this one, and each tile behind it.
        self.first = self.tail + 1 + (self.rounds - 1) * self.period + product.vectors - 1
        super().__init__(-(-(self.end + 1) // self.period))

    def columns(self, numbers: Numbers) -> list[Numbers]:
        steps = numbers * self.period
        ends = [np.clip(end - steps, 0, self.period) for end in (self.steps, self.steps + self.skew, self.end)]
        since = numbers - self.first // self.period
        return [*ends, ((since >= 0) & (since % self.rounds == 0)).astype(np.int64)]

    def make(self, number: int) -> tuple[int, ...]:
        return tuple(int(column[0]) for column in self.columns(np.array([number], np.int64)))


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
        self.rows = Periods(config, product)
        self._period, self._place = 0, 0  # number of the period, and step in it

    def state(self, out: State) -> None:
        """As `dataflow.machine.units.clock.Unit.state`."""
        out.thing(self.rows.product)
        out.same(self._place)
        out.row(self, "_period", self.rows)

    @property
    def _step(self) -> int:
        return self._period * self.rows.period + self._place

    @property
    def ended(self) -> bool:
        """The array is empty again."""
        return self._step == self.rows.end

    @property
    def ends_tile(self) -> bool:
        """The step before brought out a tile's last word."""
        since = self._step - self.rows.first
        return since >= 0 and since % (self.rows.rounds * self.rows.period) == 0

    def step(self) -> bool:
        """Take a step, if its operands are there."""
        column, beside = divmod(self._place, self.apart)
        step, steps = self._step, self.rows.steps
        weights = step < steps and not beside and column < self.columns
        groups = step < steps + self.rows.skew
        if (weights and not self.weights.valid) or (groups and not self.groups.valid):
            return False
        if weights:
            self.weights.take()
        if groups:
            self.groups.take()
        self._place += 1
        if self._place == self.rows.period:
            self._period, self._place = self._period + 1, 0
        return True
