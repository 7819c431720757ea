"""Where every cycle of a step goes: the array's line of intervals, each computing or waiting for something."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dataflow.ir.program import Stage

CAUSES = ("compute", "fill_drain", "operands", "memory", "vector", "update", "idle")
"""What a cycle of the array is spent on.

=========== ==========================================================================================================
compute     multiply-accumulates, the idle slots of ragged tiles among them
fill_drain  the array empties: before weights change in it, or because a product needs all results of the one before
operands    waits for operands to be loaded
memory      waits for results to be stored
vector      waits for a pass of the vector engine, or for the vector work on its results
update      waits for a weight update, or a selection
idle        no product is left, but other units still work
=========== ==========================================================================================================
"""

PRODUCT = CAUSES[:4]
"""Those that a product's own cycles consist of."""


@dataclass(frozen=True)
class Span:
    """Cycles `start` to `end` of the array, spent on `cause` before or during the product of (layer, stage)."""

    start: int
    end: int
    cause: str
    layer: str
    stage: Stage


@dataclass(frozen=True)
class Slice:
    """What `unit` did from cycle `start` to `end`: `what` of the command of (layer, stage)."""

    unit: str
    start: int
    end: int
    what: str
    layer: str
    stage: Stage


Work = tuple[str, int, int, str, str, Stage]
"""The fields of a slice."""


def slices(spans: Iterable[Span], work: Iterable[Work]) -> Iterator[Slice]:
    """What the array did and waited for, and the work of the other units, neighbours of one command put together."""
    for span in spans:
        yield Slice("array", span.start, span.end, span.cause, span.layer, span.stage)
    last: dict[str, Work] = {}
    for unit, start, end, *command in work:
        before = last.get(unit)
        if before is not None and before[2] == start and before[3:] == tuple(command):
            last[unit] = (unit, before[1], end, *before[3:])
            continue
        if before is not None and before[2] > before[1]:
            yield Slice(*before)
        last[unit] = (unit, start, end, *command)  # type: ignore[assignment]  # the other half of the same tuple
    yield from (Slice(*rest) for rest in last.values() if rest[2] > rest[1])


@dataclass
class Timeline:
    """The array's spans, without gap from cycle 0; `add` continues where the last one ended."""

    spans: list[Span] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The first cycle that no span covers."""
        return self.spans[-1].end if self.spans else 0

    def add(self, until: int, cause: str, layer: str, stage: Stage) -> None:
        """Spend the cycles up to `until` on `cause`; none if they are spent already."""
        if until > self.end:
            self.spans.append(Span(self.end, until, cause, layer, stage))

    def by_cause(self) -> dict[str, int]:
        """Cycles of each of `CAUSES`; they add up to `end`."""
        cycles = Counter(dict.fromkeys(CAUSES, 0))
        for span in self.spans:
            cycles[span.cause] += span.end - span.start
        return dict(cycles)

    def by_stage(self) -> dict[str, int]:
        """Cycles of each stage's products, their own waits included, and of the other causes; they add up to `end`."""
        cycles = Counter({str(stage): 0 for stage in Stage} | {cause: 0 for cause in CAUSES if cause not in PRODUCT})
        for span in self.spans:
            cycles[str(span.stage) if span.cause in PRODUCT else span.cause] += span.end - span.start
        return dict(cycles)

    def by_product(self) -> dict[tuple[str, Stage], Counter[str]]:
        """For each layer and stage, the cycles of each cause."""
        cycles: dict[tuple[str, Stage], Counter[str]] = {}
        for span in self.spans:
            cycles.setdefault((span.layer, span.stage), Counter())[span.cause] += span.end - span.start
        return cycles
