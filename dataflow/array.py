"""The array as a SimPy process: when each of a sequence of products leaves it, operands never missing."""

from collections.abc import Iterable, Iterator

import simpy

from dataflow.timing import TileShape
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

    def _steps(self, shapes: tuple[TileShape, ...]) -> Iterator[simpy.Event]:
        for shape in shapes:
            yield self._environment.timeout(shape.steps)
            self._environment.process(self._drain())

    def _drain(self) -> Iterator[simpy.Event]:
        """From a product's last step to its last word of results."""
        yield self._environment.timeout(self._config.stce_latency_cycles)
        self.finished.append(int(self._environment.now))
