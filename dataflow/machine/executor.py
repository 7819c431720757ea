"""The machine as a whole: a program's cycles, without its numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dataflow.machine.units.array import OperandBuffer, ResultBuffer, Sequencer, TileLoops
from dataflow.machine.units.clock import Clock, Fifo, Meter
from dataflow.machine.units.dispatch import Dispatch
from dataflow.machine.units.fast_forward import FastForward
from dataflow.machine.units.port import Memory, ReadPort, WritePort
from dataflow.machine.units.reader import Reader, Writer
from dataflow.machine.units.vector import VectorUnit
from dataflow.machine.units.walker import WalkRows
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.agreement import Agreement
from hw.isa.checks import check, check_order, up_to_halt
from hw.isa.commands import LOOPS, Command, Halt, Load, Loop, Sink, Source, Store, Sync, Walk
from hw.isa.encoding import words as length
from hw.isa.operands import chunk_elements


class Moment(NamedTuple):
    """What has been counted when results are complete."""

    cycle: int
    array_busy: int
    array_waits_operands: int
    array_waits_room: int
    vector_busy: int
    beats: int
    stepped: int = 0


@dataclass(frozen=True)
class Execution:
    """What a program takes.

    Parameters
    ----------
    cycles : int
        From start to end, as the register of that name counts them.
    counters : dict of str to int
        Those of `hw.isa.registers.COUNTERS`, but ``cycles``.
    stepped : int
        Of the cycles, those that were not skipped as repetitions of others.
    moments : tuple of Moment
        When each ``STORE.RESULTS`` was complete.
    """

    cycles: int
    counters: dict[str, int]
    stepped: int = field(default=0, compare=False)
    moments: tuple[Moment, ...] = field(default=(), compare=False)


def execute(
    config: AcceleratorConfig, commands: Sequence[Command], memory: Memory, address: int = 0, *, behind: int = 0,
    overflow: bool = False, skip: bool = True, window_bytes: int | None = None,
) -> Execution:  # fmt: skip
    """Run a program on the machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    commands : sequence of Command
        The program; what stands behind its `hw.isa.commands.Halt` has no effect, though some of it is read.
    memory : Memory
        What is behind each port.
    address : int
        Where the program stands, a byte in the window.
    behind : int
        Bytes of the program behind those of `commands`.
    overflow : bool
        Whether a gradient is not finite, so that conditional commands are skipped.
    skip : bool
        Whether what happens again is skipped, which changes nothing but how long this takes.
    window_bytes : int, optional
        Length of the window, where walks are to be held to it, each element of each.

    Raises
    ------
    InputError
        If a field cannot be, see `hw.isa.checks`, or commands do not agree, see `hw.isa.agreement`; if the program does not end
        with `Halt`, or comes to a byte beyond the window.
    RuntimeError
        If it does not end: units wait for each other.
    """
    run, agreement = up_to_halt(commands), Agreement(config)
    for command in run:
        agreement.check_condition(command)
        if isinstance(command, Sync | Halt) or not (command.conditional and overflow):
            check(config, command)
            agreement.follow(command)
            if window_bytes is not None and isinstance(command, Load | Store):
                _check_window(config, command.walk, window_bytes)
    check_order(run)
    clock = Clock()
    reads = [ReadPort(clock, memory) for _ in range(config.dram_channels)]
    writes = [WritePort(clock, memory) for _ in range(config.dram_channels)]
    program = Fifo(clock, 1)
    fetch = Reader(clock, config, 1, program, reads[0], words=True)
    dispatch = Dispatch(clock, run, fetch, overflow=overflow)
    readers = _readers(clock, config, dispatch, reads) | {Source.FETCH: fetch}
    waits_free = Meter(clock)
    buffers = [OperandBuffer(clock, queue, readers[source].o, waits_free) for source, queue in dispatch.placements.items()]
    loops = TileLoops(clock, config, dispatch.product, buffers)
    results = ResultBuffer(clock, config, loops.slots, dispatch.tiles, loops.room)
    weights, groups = (feed.o for feed in loops.feeds)
    Sequencer(clock, config, loops.tiles, weights, groups, results)
    inputs = {source: reader.o for source, reader in readers.items() if source > Source.ACTIVATIONS}
    vector = VectorUnit(clock, config, dispatch.work, results.o, inputs)
    writers = _writers(clock, config, dispatch, vector, writes)
    for number, (read_port, write_port) in enumerate(zip(reads, writes, strict=True)):
        read_port.readers = [readers[source] for source in Source if source % len(reads) == number]
        write_port.writers = [writers[sink] for sink in Sink if sink % len(writes) == number]

    units = [vector, loops, loops.masks, *loops.feeds, *buffers, results, *writes, *writers.values()]
    units += [reader for source, reader in readers.items() if source is not Source.FETCH]
    dispatch.quiet = _quiet(units, loops.tiles)
    size = sum(length(type(command)) for command in commands) + behind // 4
    if size > config.most_counted or address >= 1 << config.address_bits:
        most = f"a program has at most {config.most_counted} words and begins before byte {1 << config.address_bits}"
        raise InputError(f"{most}; it has {size}, at {address}")
    counts = (Loop(count=size), *(Loop(),) * (LOOPS - 1))
    program.put(Walk(base=address, size_log2=2, boundary=1, u_size=size, u_tile=size, u=counts))
    moments: list[Moment] = []

    def complete() -> None:
        dispatch.stored.add()
        meters = (loops.busy, loops.waits_operands, loops.waits_room, vector.busy)
        beats = sum(port.beats for port in (*reads, *writes))
        busy, operands, room, vector_busy = (meter.so_far(clock.now) for meter in meters)
        moments.append(Moment(clock.skipped + clock.now, busy, operands, room, vector_busy, beats, clock.now))

    writers[Sink.RESULTS].completion.complete = complete
    if skip:
        clock.look = FastForward(clock, dispatch).look
    clock.run()
    if dispatch.done_at < 0:
        raise RuntimeError(f"the program does not end: nothing moves after cycle {clock.now}")
    counters = _counters(reads, writes, loops, vector, readers, writers)
    return Execution(clock.skipped + dispatch.done_at + 1, counters, dispatch.done_at + 1, tuple(moments))


def _check_window(config: AcceleratorConfig, walk: Walk, window_bytes: int) -> None:
    last = WalkRows(walk, config, config.vpu_lanes).last_byte()
    if last >= window_bytes:
        raise InputError(f"a walk comes to byte {last}; the window has {window_bytes} bytes")


def _quiet(units: list[Any], tiles: Fifo) -> Callable[[], bool]:
    """Whether all of them are idle; the one that was busy last is asked first."""

    def quiet() -> bool:
        for place, unit in enumerate(units):
            if not unit.idle:
                if place:
                    units.insert(0, units.pop(place))
                return False
        return tiles.empty

    return quiet


def _readers(clock: Clock, config: AcceleratorConfig, dispatch: Dispatch, ports: Sequence[ReadPort]) -> dict[Source, Reader]:
    """All but that of the program."""
    readers: dict[Source, Reader] = {}
    for source in Source:
        if source is not Source.FETCH:
            chunks = source in dispatch.placements
            lines = config.rows if source is Source.WEIGHTS else config.columns
            most = chunk_elements(config, lines) if chunks else config.vpu_lanes
            walks, port = dispatch.walks[Source, source], ports[source % len(ports)]
            readers[source] = Reader(clock, config, most, walks, port, words=not chunks)
    return readers


def _writers(
    clock: Clock, config: AcceleratorConfig, dispatch: Dispatch, vector: VectorUnit, ports: Sequence[WritePort]
) -> dict[Sink, Writer]:
    writers = {}
    for sink in Sink:
        walks, words = dispatch.walks[Sink, sink], vector.sinks[sink]
        writers[sink] = Writer(clock, config, config.vpu_lanes, walks, words, ports[sink % len(ports)])
    return writers


def _counters(
    reads: Sequence[ReadPort],
    writes: Sequence[WritePort],
    loops: TileLoops,
    vector: VectorUnit,
    readers: dict[Source, Reader],
    writers: dict[Sink, Writer],
) -> dict[str, int]:
    return {
        "read_beats": sum(port.beats for port in reads),
        "write_beats": sum(port.beats for port in writes),
        "array_busy": loops.busy.total,
        "array_waits_operands": loops.waits_operands.total,
        "array_waits_room": loops.waits_room.total,
        "load_waits_free": loops.buffers[0].waits_free.total,
        "vector_busy": vector.busy.total,
        "vector_waits_operands": vector.waits_operands.total,
        "vector_waits_room": vector.waits_room.total,
        "read_waits_memory": sum(reader.waits_memory.total for reader in readers.values()),
        "write_waits_memory": sum(writer.waits_memory.total for writer in writers.values()),
    }
