"""Operations in parts: the same elements in the same words and order, however they are cut."""

from dataclasses import replace

import pytest
from walk_oracle import elements

from dataflow import zoo
from dataflow.analysis.exact import RATES
from dataflow.compile import weight_gradients
from dataflow.compile.assemble import assemble
from dataflow.compile.by_channel import LINE, ChannelPass, Channels
from dataflow.compile.memory import Memory
from dataflow.compile.parts import LATENCY_CYCLES, cycles_of, part_of, parts_of
from dataflow.compile.walks import Step, in_words
from dataflow.lowering.lower import lower
from hw.config import PRESETS
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Load, Pass, Sink, Source, Store

TINY = PRESETS["tiny"]


def operations(monkeypatch, name):
    """All from memory to memory of a narrow network's step."""
    found = []
    emit = weight_gradients.WeightGradients.beside

    def beside(self, operation, behind=None):
        found.append(operation[0])
        yield from emit(self, operation, behind)

    monkeypatch.setattr(weight_gradients.WeightGradients, "beside", beside)
    network = zoo.load(f"{name}/64")
    assemble(network, lower(network, TINY, batch=3), TINY, RATES)
    return found


def words(walk):
    """Addresses of each word, None for what is outside."""
    made, before = [], None
    for element in elements(walk):
        if element.u % walk.boundary == 0 or element.v != before:
            made.append([])
        before = element.v
        made[-1].append(None if element.outside else element.address)
    return made


def stream(command):
    return command.source if isinstance(command, Load) else command.sink


@pytest.mark.parametrize("name", ["vit", "resnet18"])
def test_parts_have_the_words_of_the_whole(name, monkeypatch):
    cut = 0
    for commands in operations(monkeypatch, name):
        count = parts_of(commands)
        if count == 1:
            continue
        cut += 1
        first = max(1, count // 3)
        parts = [part_of(commands, *some, count) for some in ((0, first), (first, count - first))]
        for number, command in enumerate(commands):
            one, other = (part[number] for part in parts)
            if isinstance(command, Pass):
                assert one.words + other.words == command.words
                assert replace(one, words=command.words, results=command.results) == command
                if command.held and not command.options & PassOption.BY_ROW:  # a part begins with the first factor
                    assert one.words % command.held == 0
                assert not command.groups or one.results + other.results == command.results
            elif isinstance(command, Load | Store):
                if one.walk == command.walk:  # factors of channels, of which each part has all
                    assert other.walk == command.walk and isinstance(command, Load)
                else:
                    assert words(one.walk) + words(other.walk) == words(command.walk), stream(command)
    assert cut > 10


def test_sums_over_all_rows_are_not_cut(monkeypatch):
    """They would be other sums: only reductions of rows, across lanes, have results in each part."""
    steps = [
        (step, parts_of(commands))
        for commands in operations(monkeypatch, "vit")
        for step in commands
        if isinstance(step, Pass) and step.groups
    ]
    by_channel = [count for step, count in steps if not step.options & PassOption.ACROSS]
    assert by_channel and set(by_channel) == {1}
    assert any(count > 1 for step, count in steps if step.options & PassOption.ACROSS)


def flat(count):
    """Numbers of two bytes that stand one after the other."""
    return in_words(0, 2, 4, [Step(count, 0)], [])


def operation(read, words):
    return [Load(source=Source.ELEMENTS, walk=read), Pass(words=words), Store(sink=Sink.RESULTS, walk=flat(4 * words))]


@pytest.mark.parametrize(("rows", "parts"), [(8, 2), (9, 1), (12, 3), (4, 1)])
def test_rows_with_factors_are_cut_between_their_words(rows, parts):
    """Of four lanes a word has factors of four rows: nine rows have three words, of which the last serves one row."""
    memory = Memory(TINY, {})
    memory.add("x", "storage", (rows, 24))
    memory.add("lines", "pairs", (rows,))
    memory.add("y", "storage", (rows, 24))
    x, lines, y = (Channels.of(memory[name]) for name in ("x", "lines", "y"))
    step = ChannelPass(steps=PassStep.WIDEN | LINE | PassStep.NARROW, elements=x, pairs=lines, by_row=True, results=y)
    (commands,) = step.operations(TINY)
    assert parts_of(commands) == parts


def test_cycles_are_those_of_the_busiest():
    """Four lanes, and eight bytes a beat: a word a beat where words stand one after the other, or by themselves."""
    apart = in_words(0, 2, 4, [Step(4, 0)], [Step(100, 64)])
    across = in_words(2, 2, 4, [Step(4, 0)], [Step(100, 66)])
    assert cycles_of(TINY, operation(flat(400), 100)) == LATENCY_CYCLES + 100
    assert cycles_of(TINY, operation(apart, 100)) == LATENCY_CYCLES + 100
    assert cycles_of(TINY, operation(across, 100)) == LATENCY_CYCLES + 200  # each word lies in two beats
    two = [Load(source=Source.RESIDUAL, walk=flat(400)), *operation(flat(400), 100)]
    assert cycles_of(TINY, two) == LATENCY_CYCLES + 200  # one port reads both
