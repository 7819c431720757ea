"""The memory port with the memory behind it: once a burst is taken, all of its cycles are known."""

from collections import deque
from dataclasses import dataclass

from dataflow.machine.units.clock import Clock, Unit
from dataflow.machine.units.reader import Reader, Writer
from dataflow.machine.units.state import State
from hw.config import AcceleratorConfig
from hw.isa.commands import Sink, Source
from hw.isa.microarchitecture import OUTSTANDING_BURSTS, WRITES_AHEAD

MEMORY_BURSTS = 64
"""Reads that the memory has taken and not served."""


@dataclass(frozen=True)
class Memory:
    """A memory that serves bursts in their order, see ``sim/harness/sat_bench.sv``.

    Parameters
    ----------
    latency_cycles : int
        From a burst to its first beat, or from its last beat to the answer, at the earliest, less one.
    interval_cycles : int
        Between beats, at least 1.
    """

    latency_cycles: int = 20
    interval_cycles: int = 1

    @classmethod
    def of(cls, config: AcceleratorConfig, latency: int | None = None, interval: int | None = None) -> "Memory":
        """The configuration's, or the next faster one with whole cycles between beats; but for what is given.

        A port moves a beat each way at once.
        """
        most = 2 * config.axi_data_bytes * config.dram_channels
        return cls(
            config.dram_latency_cycles if latency is None else latency,
            max(1, int(most / config.dram_bytes_per_cycle)) if interval is None else interval,
        )

    def __reduce__(self) -> "tuple[type[Memory], tuple[int, int]]":
        """For other processes: fields of a compiled class cannot be set once it is made."""
        return Memory, (self.latency_cycles, self.interval_cycles)


class Port(Unit):
    """One direction of a port.

    Attributes
    ----------
    beats : int
        That have been moved, or will be: all of a burst are known when it is taken.
    trace : dict of str to list of int, optional
        Cycles in which the memory takes bursts, and in which beats and answers come and go; for who wants to know them.
    """

    def __init__(self, clock: Clock, memory: Memory) -> None:
        super().__init__(clock)
        self.memory = memory
        self.beats = 0
        self.trace: dict[str, list[int]] | None = None

    def note(self, **cycles: list[int]) -> None:
        """Cycles in which something happens, by what it is."""
        if self.trace is not None:
            for name, these in cycles.items():
                self.trace.setdefault(name, []).extend(these)


class ReadPort(Port):
    """Takes a read burst a cycle, that of the lowest number.

    Attributes
    ----------
    readers : list of Reader
        By number; set by whoever makes them.
    """

    def __init__(self, clock: Clock, memory: Memory) -> None:
        super().__init__(clock, memory)
        self.readers: list[Reader] = []
        self._address_at = -1  # when the memory takes the address that stands at the port
        self._next_read = 0
        self._served: deque[tuple[int, int]] = deque()  # first and last cycle of the memory's bursts
        self._answered: list[deque[int]] = [deque() for _ in Source]

    def state(self, out: State) -> None:
        out.time(self._address_at)
        out.time(self._next_read)
        served = [burst for burst in self._served if burst[1] >= out.now]
        out.same(len(served))
        for first, last in served:
            out.time(first)
            out.time(last)
        for answered in self._answered:
            out.times(answered)
        out.count(self, "beats")

    def step(self) -> None:
        now = self.clock.now
        if now < self._address_at:
            self.wake(self._address_at - now)
            return
        for number, reader in enumerate(self.readers):
            answered = self._answered[number]
            while answered and answered[0] < now:
                answered.popleft()
            if not reader.offer:
                continue
            if len(answered) < OUTSTANDING_BURSTS:
                self._read(reader, answered)
                self.wake()
                return
            self.wake(answered[0] + 1 - now)

    def _read(self, reader: Reader, answered: deque[int]) -> None:
        now = self.clock.now
        at = now + 1
        while self._under_way(at - 1) >= MEMORY_BURSTS:
            at += 1
        self._address_at = at
        beats = reader.take_burst()
        edge = 0
        for _ in range(beats):
            edge = max(at + self.memory.latency_cycles, self._next_read)
            self._next_read = edge + self.memory.interval_cycles
            reader.beats.put(None, edge + 1 - now)
        self.beats += beats
        if self.trace is not None:
            interval = self.memory.interval_cycles
            self.note(ar=[at], r=list(range(edge + 1 - (beats - 1) * interval, edge + 2, interval)))
        self._served.append((at, edge))
        answered.append(edge + 1)

    def _under_way(self, edge: int) -> int:
        """Bursts that the memory has at a clock edge, before it takes one."""
        served = self._served
        while served and served[0][1] < edge:
            served.popleft()
        return len(served) - bool(served and served[-1][0] == edge)


class WritePort(Port):
    """Takes a write burst a cycle, that of the lowest number, and their beats in order.

    Attributes
    ----------
    writers : list of Writer
        By number; set by whoever makes them.
    """

    def __init__(self, clock: Clock, memory: Memory) -> None:
        super().__init__(clock, memory)
        self.writers: list[Writer] = []
        self._ahead: deque[int] = deque()  # last beats of the bursts whose beats are to come
        self._next_write = 0
        self._answer_at = 0
        self._answered: list[deque[int]] = [deque() for _ in Sink]

    def state(self, out: State) -> None:
        out.times(self._ahead)
        out.time(self._next_write)
        out.time(self._answer_at + 1)
        for answered in self._answered:
            out.times(answered)
        out.count(self, "beats")

    @property
    def idle(self) -> bool:
        """Every write is answered."""
        return self.clock.now > self._answer_at

    def step(self) -> None:
        now = self.clock.now
        while self._ahead and self._ahead[0] < now:
            self._ahead.popleft()
        if len(self._ahead) == WRITES_AHEAD:
            self.wake(self._ahead[0] + 1 - now)
            return
        for number, writer in enumerate(self.writers):
            answered = self._answered[number]
            while answered and answered[0] < now:
                answered.popleft()
            beats = writer.offer
            if not beats:
                continue
            if len(answered) < OUTSTANDING_BURSTS:
                answered.append(self._write(writer, beats))
                self.wake()
                return
            self.wake(answered[0] + 1 - now)

    def _write(self, writer: Writer, beats: int) -> int:
        """Take it; when it is answered."""
        interval, first = self.memory.interval_cycles, max(self.clock.now + 2, self._next_write)
        taken = [first + number * interval for number in range(beats)]
        writer.take_burst(taken)
        self.beats += beats
        self._ahead.append(taken[-1])
        self._next_write = taken[-1] + interval
        self._answer_at = max(taken[-1] + self.memory.latency_cycles, self._answer_at) + 1
        self.note(aw=[self.clock.now + 1], w=taken, b=[self._answer_at])
        writer.completion.answer(self._answer_at, beats)
        self.clock.wake(self, self._answer_at + 1)
        return self._answer_at
