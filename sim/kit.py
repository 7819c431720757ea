"""The testbench kit: cocotb drivers and monitors for streams, by any names, and a scoreboard.

A stream is three signals of the top module, a payload, valid and ready: a word passes in each cycle in which valid and ready
are high. They are called ``<prefix>__payload`` and so on by Amaranth, ``<prefix>_tdata``, ``_tvalid`` and ``_tready`` by
AXI-Stream, or as `Names` says. Payloads are plain integers.

::

    source = StreamSource(dut, "i_w2e", pause=at_random(0.3, seed=1))
    sink = StreamSink(dut, "o")
    StreamChecker(dut, "o")            # valid and payload hold until the word is taken
    await reset(dut)
    source.start(words)
    check_words(await sink.take(count), expected)

Whoever waits for a design does so for a number of clock cycles; then the test fails with one line that says what did not come.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat, zip_longest
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, FallingEdge, ReadOnly, RisingEdge, select

from hw.formats import FloatFormat

PERIOD = 2
"""Simulation steps of a clock cycle."""

LIMIT_CYCLES = 100_000
"""For which a word, or a count of them, is waited for."""

_clocks: dict[str, cocotb.task.Task] = {}
"""Clocks that run, by the names of their signals: a test has each of them once."""


@dataclass(frozen=True)
class Names:
    """What the signals of a design are called, and what level resets it.

    Parameters
    ----------
    clock, reset : str
        Of the top module.
    reset_level : int
        1, or 0 where a reset is active low.
    payload, valid, ready : str
        What follows a stream's prefix. Without one, those of Amaranth and of AXI-Stream are looked for.
    """

    clock: str = "clk"
    reset: str = "rst"
    reset_level: int = 1
    payload: str = ""
    valid: str = ""
    ready: str = ""


OURS = Names()
AXI_STREAM = Names(clock="aclk", reset="aresetn", reset_level=0, payload="_tdata", valid="_tvalid", ready="_tready")
"""As AMBA AXI-Stream has them (IHI 0051)."""

CONVENTIONS = (("__payload", "__valid", "__ready"), ("_tdata", "_tvalid", "_tready"), ("_data", "_valid", "_ready"))


def at_random(probability: float, *, seed: int) -> Iterator[bool]:
    """True with `probability` in each cycle, for ever: a pause for `StreamSource` and `StreamSink`."""
    random = Random(seed)
    while True:
        yield random.random() < probability


async def reset(dut: Any, cycles: int = 2, names: Names = OURS) -> None:  # noqa: ANN401 (a handle has the design's attributes)
    """Hold the reset for a few cycles; the first time in a test also start the clock."""
    clock, line = _signal(dut, names.clock), _signal(dut, names.reset)
    running = _clocks.get(names.clock)
    if running is None or running.done():
        _clocks[names.clock] = Clock(clock, PERIOD, unit="step").start()
    line.value = names.reset_level
    await ClockCycles(clock, cycles)
    await FallingEdge(clock)
    line.value = 1 - names.reset_level


async def within(awaited: Any, cycles: int, clock: Any, what: str) -> None:  # noqa: ANN401 (a trigger, a handle)
    """Await a trigger for at most so many clock cycles; `AssertionError` says `what` did not come."""
    first, _ = await select(awaited, ClockCycles(clock, cycles))
    if first:
        raise AssertionError(f"{what}: nothing for {cycles} clock cycles")


def _signal(dut: Any, name: str) -> Any:  # noqa: ANN401
    if not hasattr(dut, name):
        raise AssertionError(f"{dut._name} has no signal {name!r}; see sim.kit.Names")
    return getattr(dut, name)


class _Stream:
    """The three signals of a stream."""

    def __init__(self, dut: Any, prefix: str, names: Names) -> None:  # noqa: ANN401
        self.prefix, self.names = prefix, names
        self.clock, self._reset = _signal(dut, names.clock), _signal(dut, names.reset)
        own = (names.payload, names.valid, names.ready)
        tried = [own] if any(own) else CONVENTIONS
        found = next((ends for ends in tried if all(hasattr(dut, prefix + end) for end in ends)), None)
        if found is None:
            wanted = " or ".join(", ".join(prefix + end for end in ends) for ends in tried)
            raise AssertionError(f"{dut._name} has no stream {prefix!r}: {wanted}")
        self.payload, self.valid, self.ready = (getattr(dut, prefix + end) for end in found)

    @property
    def in_reset(self) -> bool:
        """Whether the design is reset now."""
        return bool(int(self._reset.value) == self.names.reset_level)

    @property
    def passes(self) -> bool:
        """Whether a word passes at the coming clock edge."""
        return not self.in_reset and bool(int(self.valid.value)) and bool(int(self.ready.value))


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
    names : Names
        Of the design's signals.
    limit_cycles : int
        For how long a word may be on offer.
    """

    def __init__(
        self,
        dut: Any,  # noqa: ANN401
        prefix: str,
        *,
        pause: Iterable[bool] = repeat(False),
        names: Names = OURS,
        limit_cycles: int = LIMIT_CYCLES,
    ) -> None:
        super().__init__(dut, prefix, names)
        self._pause, self._limit = iter(pause), limit_cycles
        self.valid.value = 0

    def start(self, words: Iterable[int]) -> cocotb.task.Task:
        """Offer `words` one after the other; await the task to know that all were taken."""
        return cocotb.start_soon(self._offer(words))

    async def _offer(self, words: Iterable[int]) -> None:
        if int(self.clock.value):  # a word set now would seem to pass before the next edge
            await FallingEdge(self.clock)
        for number, word in enumerate(words):
            while next(self._pause):
                self.valid.value = 0
                await FallingEdge(self.clock)
            self.payload.value, self.valid.value = word, 1
            await self._taken(number)
        self.valid.value = 0

    async def _taken(self, number: int) -> None:
        """Until just after the edge at which the word passes."""
        for _ in range(self._limit):
            await ReadOnly()
            passes = self.passes
            await FallingEdge(self.clock)
            if passes:
                return
        raise AssertionError(f"{self.prefix}: word {number} was on offer and not taken for {self._limit} clock cycles")


class StreamSink(_Stream):
    """Takes the words of an output stream.

    Parameters
    ----------
    dut, prefix, names
        As in `StreamSource`.
    pause : iterable of bool
        For each cycle, whether to take nothing.

    Attributes
    ----------
    words : list of int
        What was taken, in order.
    """

    def __init__(
        self,
        dut: Any,  # noqa: ANN401
        prefix: str,
        *,
        pause: Iterable[bool] = repeat(False),
        names: Names = OURS,
    ) -> None:
        super().__init__(dut, prefix, names)
        self.words: list[int] = []
        self._pause, self._more = iter(pause), Event()
        cocotb.start_soon(self._take())

    async def wait(self, count: int, limit_cycles: int = LIMIT_CYCLES) -> None:
        """Until `count` words have been taken in all, none of them more than `limit_cycles` after the one before."""
        while len(self.words) < count:
            self._more.clear()
            what = f"{self.prefix}: {len(self.words)} of {count} words came"
            await within(self._more.wait(), limit_cycles, self.clock, what)

    async def take(self, count: int, limit_cycles: int = LIMIT_CYCLES) -> list[int]:
        """The next `count` words, when they have come."""
        await self.wait(count, limit_cycles)
        taken, self.words = self.words[:count], self.words[count:]
        return taken

    async def _take(self) -> None:
        while True:
            self.ready.value = int(not next(self._pause))
            await ReadOnly()
            word = int(self.payload.value) if self.passes else None
            await FallingEdge(self.clock)
            if word is not None:
                self.words.append(word)
                self._more.set()


class StreamMonitor(_Stream):
    """Watches a stream that others drive and take.

    Attributes
    ----------
    words : list of int
        What passed, in order.
    cycles : list of int
        The clock cycle in which each word passed, counted from the end of the reset.
    """

    def __init__(self, dut: Any, prefix: str, *, names: Names = OURS) -> None:  # noqa: ANN401
        super().__init__(dut, prefix, names)
        self.words: list[int] = []
        self.cycles: list[int] = []
        cocotb.start_soon(self._watch())

    @property
    def passed(self) -> int:
        """Words that passed."""
        return len(self.cycles)

    def check(self, offered: int | None) -> None:
        """Look at what is on offer before an edge, or None; and at nothing, in a reset."""

    async def _watch(self) -> None:
        cycle = -1
        while True:
            await RisingEdge(self.clock)
            if self.in_reset:
                cycle = -1
                self.check(None)
                continue
            cycle += 1
            offered = int(self.payload.value) if int(self.valid.value) else None
            self.check(offered)
            if self.passes:
                self.cycles.append(cycle)
                self.words.append(int(self.payload.value))


class StreamChecker(StreamMonitor):
    """A monitor that fails the test where a word that was on offer changes or goes before it is taken."""

    _waiting: int | None = None

    def check(self, offered: int | None) -> None:
        if self.in_reset:
            self._waiting = None
            return
        if self._waiting is not None and offered != self._waiting:
            raise AssertionError(f"{self.prefix}: {self._waiting:#x} was on offer and became {offered}")
        self._waiting = None if self.passes else offered


def check_words(found: Sequence[int], expected: Sequence[int], number_format: FloatFormat | None = None) -> None:
    """Compare words by bits.

    Parameters
    ----------
    found, expected : sequence of int
        Words of a stream.
    number_format : FloatFormat, optional
        What they are, so that the message takes them apart.

    Raises
    ------
    AssertionError
        Where they differ: how many, and of the first few where, the bits, and of numbers sign, exponent and significand.
    """
    pairs = list(enumerate(zip_longest(found, expected)))
    wrong = [(place, one, other) for place, (one, other) in pairs if one != other]
    if wrong:
        told = [(place, *(_told(word, number_format) for word in words)) for place, *words in wrong[:8]]
        lines = [f"word {place}: {one}, not {other}" for place, one, other in told]
        raise AssertionError("\n".join([f"{len(wrong)} of {len(pairs)} words differ", *lines]))


def _told(word: int | None, number_format: FloatFormat | None) -> str:
    if word is None:
        return "none"
    if number_format is None:
        return f"{word:#x}"
    mantissa, width = number_format.mantissa_bits, number_format.width
    exponent = word >> mantissa & (1 << number_format.exponent_bits) - 1
    parts = f"sign {word >> width - 1 & 1}, exponent {exponent:#x}, significand {word & (1 << mantissa) - 1:#x}"
    return f"{word:#0{2 + -(-width // 4)}x} ({parts})"
