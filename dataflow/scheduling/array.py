"""The array as a SimPy process: when each of a sequence of products leaves it, operands never missing."""

from collections.abc import Generator, Iterable
from typing import Any

import simpy

from dataflow.ir.program import Dataflow
from dataflow.scheduling.timing import TileShape
from hw.config import AcceleratorConfig


class ArrayUnit:
    """Takes one step a cycle, product after product without a bubble, while finished tiles drain behind it.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives the latencies that the hardware itself is built from.
    shapes : iterable of TileShape
        The products in order.

    Attributes
    ----------
    finished : list of int
        For each product the cycle of its last word of results, counted from the one in which the first command is taken.
    """

    def __init__(self, config: AcceleratorConfig, shapes: Iterable[TileShape]) -> None:
        self._config = config
        self._environment = simpy.Environment()
        self._environment.process(self._steps(tuple(shapes)))
        self.finished: list[int] = []

    def run(self) -> list[int]:
        """Run to the end and return `finished`."""
        self._environment.run()
        return self.finished

    def _steps(self, shapes: tuple[TileShape, ...]) -> Generator[simpy.Event, Any, None]:
        """Steps follow each other unless what stays in the array changes, or weights stay: then it must be empty."""
        for before, shape in zip((None, *shapes), shapes, strict=False):
            if before and Dataflow.WEIGHT_STATIONARY in (before.dataflow, shape.dataflow):
                yield self._environment.timeout(before.flush_steps + 1)
            self._environment.process(self._drain(shape.steps_to_last_word))
            yield self._environment.timeout(shape.steps)

    def _drain(self, steps: int) -> Generator[simpy.Event, Any, None]:
        """From a product's command to its last word of results."""
        yield self._environment.timeout(1 + steps + self._config.array_latency_cycles + 1)
        self.finished.append(int(self._environment.now))
