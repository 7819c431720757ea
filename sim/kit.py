"""The testbench kit: cocotb drivers and monitors for the streams of every block.

A stream is three signals of the top module, ``<prefix>__payload``, ``<prefix>__valid`` and ``<prefix>__ready``: a word passes
in each cycle in which valid and ready are high. Payloads are plain integers; `hw` has the layouts.

::

    source = StreamSource(dut, "i_w2e", pause=at_random(0.3, seed=1))
    sink = StreamSink(dut, "o")
    StreamChecker(dut, "o")            # valid and payload hold until the word is taken
    await reset(dut)
    source.start(words)
    await sink.wait(count)
    assert sink.words == expected
"""

from collections.abc import Iterable, Iterator
from itertools import repeat
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, FallingEdge, ReadOnly, RisingEdge

PERIOD = 2
"""Simulation steps of a clock cycle."""


def at_random(probability: float, *, seed: int) -> Iterator[bool]:
    """True with `probability` in each cycle, for ever: a pause for `StreamSource` and `StreamSink`."""
    random = Random(seed)
    while True:
        yield random.random() < probability


async def reset(dut: Any, cycles: int = 2) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
    """Start the clock ``clk`` and hold ``rst`` for a few cycles."""
    Clock(dut.clk, PERIOD, unit="step").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, cycles)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


class _Stream:
    """The three signals of a stream."""

    def __init__(self, dut: Any, prefix: str) -> None:  # noqa: ANN401
        self.prefix = prefix
        self.clock = dut.clk
        self.reset = dut.rst
        self.payload, self.valid, self.ready = (getattr(dut, f"{prefix}__{name}") for name in ("payload", "valid", "ready"))

    @property
    def passes(self) -> bool:
        """Whether a word passes at the coming clock edge."""
        return not int(self.reset.value) and bool(int(self.valid.value)) and bool(int(self.ready.value))


class StreamSource(_Stream):
    """Drives an input stream.

    Parameters
    ----------
    dut : handle
        The top module.
    prefix : str
        Name of the stream's signals.
    pause : iterable of bool
        For each cycle without a word on offer, whether to offer none.
    """

    def __init__(self, dut: Any, prefix: str, *, pause: Iterable[bool] = repeat(False)) -> None:  # noqa: ANN401
        super().__init__(dut, prefix)
        self._pause = iter(pause)
        self.valid.value = 0

    def start(self, words: Iterable[int]) -> cocotb.task.Task:
        """Offer `words` one after the other; await the task to know that all were taken."""
        return cocotb.start_soon(self._offer(words))

    async def _offer(self, words: Iterable[int]) -> None:
        if int(self.clock.value):  # a word set now would seem to pass before the next edge
            await FallingEdge(self.clock)
        for word in words:
            while next(self._pause):
                self.valid.value = 0
                await FallingEdge(self.clock)
            self.payload.value, self.valid.value = word, 1
            await self._taken()
        self.valid.value = 0

    async def _taken(self) -> None:
        """Until just after the edge at which the word passes."""
        while True:
            await ReadOnly()
            passes = self.passes
            await FallingEdge(self.clock)
            if passes:
                return


class StreamSink(_Stream):
    """Takes the words of an output stream.

    Parameters
    ----------
    dut, prefix
        As in `StreamSource`.
    pause : iterable of bool
        For each cycle, whether to take nothing.

    Attributes
    ----------
    words : list of int
        What was taken, in order.
    """

    def __init__(self, dut: Any, prefix: str, *, pause: Iterable[bool] = repeat(False)) -> None:  # noqa: ANN401
        super().__init__(dut, prefix)
        self.words: list[int] = []
        self._pause, self._more = iter(pause), Event()
        cocotb.start_soon(self._take())

    async def wait(self, count: int) -> None:
        """Until `count` words have been taken in all."""
        while len(self.words) < count:
            self._more.clear()
            await self._more.wait()

    async def _take(self) -> None:
        while True:
            self.ready.value = int(not next(self._pause))
            await ReadOnly()
            word = int(self.payload.value) if self.passes else None
            await FallingEdge(self.clock)
            if word is not None:
                self.words.append(word)
                self._more.set()


class StreamChecker(_Stream):
    """Fails the test where a word that was on offer changes or goes before it is taken.

    Attributes
    ----------
    cycles : list of int
        The clock cycle in which each word passed, counted from the end of the reset.
    """

    def __init__(self, dut: Any, prefix: str) -> None:  # noqa: ANN401
        super().__init__(dut, prefix)
        self.cycles: list[int] = []
        cocotb.start_soon(self._watch())

    @property
    def passed(self) -> int:
        """Words that passed."""
        return len(self.cycles)

    async def _watch(self) -> None:
        waiting, cycle = None, -1
        while True:
            await RisingEdge(self.clock)
            if int(self.reset.value):
                waiting, cycle = None, -1
                continue
            cycle += 1
            offered = int(self.payload.value) if int(self.valid.value) else None
            if waiting is not None and offered != waiting:
                raise AssertionError(f"{self.prefix}: {waiting:#x} was on offer and became {offered}")
            if self.passes:
                self.cycles.append(cycle)
            waiting = None if self.passes else offered
