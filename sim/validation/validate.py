"""Parts of a network's real program on the RTL, beside NumPy and the SimPy machine: what every cycle of a report rests on.

::

    program of a step ─► sections ─► cut short ─► a memory of random numbers ─► RTL │ NumPy: every byte written
                          (drawn)                  with their walks in it           │ SimPy: cycles, counters
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.analysis.exact import RATES, digest
from dataflow.compile.assemble import Origin, assemble
from dataflow.ir.stages import Stage
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import Network
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.formats import FloatFormat
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Load, Pass, Product, Source, Store, Walk
from hw.isa.encoding import encode
from hw.ratio import Ratios
from sim.rtl import sat
from sim.rtl.written import Journal
from sim.steps.difference import told_apart
from sim.steps.program import ProgramOnRtl, written_rows
from sim.validation.cuts import Limits, cut
from sim.validation.sections import Section, sections
from training.machine import vector
from training.machine.executor import Executor
from training.machine.walks import Bytes, blocks
from training.numbers import to_bits

MOST_TILES, MOST_STEPS, MOST_WORDS = 3, 8192, 1024
"""Of a sample: tiles of each loop, steps of the array, words of the vector unit."""

MOST_BYTES = 1 << 28
"""Of a sample's memory."""


@dataclass(frozen=True)
class Sample:
    """A short program with its memory.

    Parameters
    ----------
    origin : Origin
        What of the step it is.
    commands : sequence of Command
        The program.
    memory : array of uint8
        Before it.
    """

    origin: Origin
    commands: Sequence[Command]
    memory: Bytes


@dataclass(frozen=True)
class Compared:
    """A sample on all three executors.

    Parameters
    ----------
    sample : Sample
        What was played.
    program : ProgramOnRtl
        What it came to.
    due : array of uint8
        The memory as NumPy leaves it.
    storage : FloatFormat
        Of storage tensors.
    """

    sample: Sample
    program: ProgramOnRtl
    due: Bytes
    storage: FloatFormat

    def total(self, what: str) -> int:
        """``words_compared`` or ``words_different``, of all that it wrote."""
        return sum(row.get(what, 0) for row in self.program.rows)

    @property
    def agrees(self) -> bool:
        """Whether no byte, cycle or counter differs."""
        return self.program.agrees

    @property
    def where(self) -> str:
        """What differs first, in words; an empty text where nothing does."""
        layer, stage, _ = self.sample.origin
        return told_apart(f"{layer}, {stage}", self.program, {}, self.due, self.storage)


def draw(
    network: Network,
    config: AcceleratorConfig,
    *,
    sparse_stages: frozenset[Stage],
    ratio: Ratios,
    batch: int,
    samples: int,
    seed: int,
) -> tuple[str, list[Sample]]:
    """A digest of the program of a step, and so many samples of it, of as many layers and stages as there are.

    Raises
    ------
    InputError
        Where the accelerator cannot do what the step asks.
    """
    random, rng = Random(seed), np.random.default_rng(seed)
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=sparse_stages)
    found: dict[Origin, list[Section]] = {}
    assembled = assemble(network, program, config, RATES)
    for section in sections(assembled):
        found.setdefault(section.origin, []).append(section)
    left, drawn = list[Origin](), list[Sample]()
    for _ in range(samples):
        left = left or random.sample(sorted(found), len(found))
        limits = Limits(
            (random.randint(1, MOST_TILES), random.randint(1, MOST_TILES), random.randint(1, 2)), MOST_STEPS, MOST_WORDS
        )
        drawn.append(_sample(config, cut(config, random.choice(found[left.pop()]), limits), rng))
    return digest(config, assembled), drawn


def compare(config: AcceleratorConfig, samples: Sequence[Sample]) -> Iterator[Compared]:
    """Play samples one after the other on one simulated accelerator, with the memory of its configuration."""
    timing, programs = Memory.of(config), [encode(sample.commands) for sample in samples]
    most = max(len(sample.memory) for sample in samples), max(map(len, programs))
    with sat.Device(config, *most, timing=timing, journal=True) as device:
        for sample, program in zip(samples, programs, strict=True):
            device.write(0, sample.memory)
            device.begin(program)
            journal = Journal(Executor(config, sample.memory))
            journal.run(sample.commands)
            predicted = execute(config, sample.commands, timing, device.programs_at, overflow=journal.machine.overflow)
            outcome = device.outcome(len(sample.memory))
            rows = written_rows(journal, outcome)
            done = ProgramOnRtl(outcome, predicted, rows, journal.first)
            yield Compared(sample, done, journal.machine.memory, config.storage_format)


def table(compared: Sequence[Compared]) -> dict[str, Any]:
    """What all samples came to, and those of each layer and stage, as plain data."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in compared:
        name, stage, _ = one.sample.origin
        row = rows.setdefault(
            (name, stage),
            {"name": name, "stage": str(stage), "samples": 0, "rtl_cycles": 0, "model_cycles": 0, "words_different": 0},
        )
        row["samples"] += 1
        row["rtl_cycles"] += one.program.counted["cycles"]
        row["model_cycles"] += one.program.predicted["cycles"]
        row["words_different"] += one.total("words_different")
    return {
        "samples": len(compared),
        "words_compared": sum(one.total("words_compared") for one in compared),
        "words_different": sum(one.total("words_different") for one in compared),
        "counters_different": sum(one.program.counted != one.program.predicted for one in compared),
        "rtl_cycles": sum(one.program.counted["cycles"] for one in compared),
        "model_cycles": sum(one.program.predicted["cycles"] for one in compared),
        "layers": list(rows.values()),
    }


def _sample(config: AcceleratorConfig, section: Section, rng: np.random.Generator) -> Sample:
    """A section with its walks in a memory of its own, full of random numbers.

    Where walks come to the same bytes they do so still, and places in a page of 4 KiB stay, on which bursts depend.
    """
    whole = section.commands
    walks, size = _moved(config, [command.walk for command in whole if isinstance(command, Load | Store)])
    memory, places, commands = np.zeros(size, np.uint8), iter(walks), list[Command]()
    for command in whole:
        if isinstance(command, Load | Store):
            command = replace(command, walk=next(places))
        if isinstance(command, Load):
            _fill(config, memory, command, whole, rng)
        commands.append(command)
    return Sample(section.origin, commands, memory)


def _moved(config: AcceleratorConfig, walks: Sequence[Walk]) -> tuple[list[Walk], int]:
    """Walks moved together, and the bytes that they then have; what they share they share still."""
    spans, shifts = [_span(config, walk) for walk in walks], dict[int, int]()
    end = top = shift = 0  # the end of what is placed, where it is now and where it was
    for number in sorted(range(len(walks)), key=spans.__getitem__):
        first, last = spans[number]
        if first >= top:
            shift = -(-end // sat.PAGE_BYTES) * sat.PAGE_BYTES + first % sat.PAGE_BYTES - first
        top = max(top, last)
        end, shifts[number] = top + shift, shift
    size = -(-end // sat.PAGE_BYTES) * sat.PAGE_BYTES
    if size > MOST_BYTES:
        raise InputError(f"a sample's walks span {size:,} bytes; at most {MOST_BYTES:,}")
    moved = [(walk.base + shifts[number]) % (1 << config.address_bits) for number, walk in enumerate(walks)]
    return [replace(walk, base=base) for walk, base in zip(walks, moved, strict=True)], size


def _places(config: AcceleratorConfig, walk: Walk) -> NDArray[np.int64]:
    """The byte of each element in memory, in order."""
    return np.concatenate([block.addresses[block.inside] for block in blocks(walk, config.address_bits)])


def _span(config: AcceleratorConfig, walk: Walk) -> tuple[int, int]:
    """The first byte of a walk, and the one behind its last; of one with nothing in memory, none at its base."""
    places = _places(config, walk)
    return (int(places.min()), int(places.max()) + (1 << walk.size_log2)) if len(places) else (walk.base, walk.base)


def _fill(config: AcceleratorConfig, memory: Bytes, load: Load, sample: Sequence[Command], rng: np.random.Generator) -> None:
    """Random numbers of the kind that a load reads."""
    places, storage = _places(config, load.walk), config.storage_format
    size, width = 1 << load.walk.size_log2, storage.width // 8
    if load.source is Source.GATE and (
        counted := [one for one in sample if isinstance(one, Pass) and one.options & PassOption.AT_PLACE]
    ):
        words = rng.choice(np.unique(vector.places(counted[0])), (len(places), 1)).astype(f"<u{width}")
    elif size == width or load.source is Source.WEIGHTS:
        words = to_bits(rng.standard_normal((len(places), size // width)).astype(np.float32), storage).astype(f"<u{width}")
        if size > width:
            groups = [one.m for one in sample if isinstance(one, Product)]
            words[:, 1] = rng.integers(0, groups[0], len(places))
    else:
        words = rng.standard_normal((len(places), size // 4)).astype("<f4")
    content = np.ascontiguousarray(words).view(np.uint8).reshape(len(places), size)
    memory[places[:, None] + np.arange(size)] = content
