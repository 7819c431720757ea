"""Where every cycle of a step goes: the array's line of intervals, each computing or waiting for something."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dataflow.program import Stage

CAUSES = ("compute", "memory", "vector", "update", "drain")
"""What a cycle is spent on: the array computes, waits for operands or room to store, waits for a pass of the vector unit or
for weight updates, or waits while the results of the product before are still on their way out."""


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
        """Cycles of each stage's products, their memory stalls included, and of the other causes; they add up to `end`."""
        cycles = Counter({str(stage): 0 for stage in Stage} | dict.fromkeys(CAUSES[2:], 0))
        for span in self.spans:
            cycles[str(span.stage) if span.cause in CAUSES[:2] else span.cause] += span.end - span.start
        return dict(cycles)

    def by_product(self) -> dict[tuple[str, Stage], Counter[str]]:
        """For each layer and stage, the cycles of each cause."""
        cycles: dict[tuple[str, Stage], Counter[str]] = {}
        for span in self.spans:
            cycles.setdefault((span.layer, span.stage), Counter())[span.cause] += span.end - span.start
        return cycles
