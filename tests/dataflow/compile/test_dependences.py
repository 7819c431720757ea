"""What an open product comes before: a write of its operands, a synchronisation."""

from dataflow.compile.dependences import Dependences
from hw.isa.bounds import MOST_AFTER
from hw.isa.commands import Load, Pass, Sink, Source, Store, Sync

COPY = [Load(source=Source.ELEMENTS), Pass(), Store()]


def copied(made, source, target):
    return list(made.ordered(COPY, {Source.ELEMENTS: source, Sink.RESULTS: target}))


def opened():
    """One that reads x and y, whose sums two passes take."""
    made = Dependences()
    copied(made, "x", "y")
    sums = made.ordered([Pass(words=7), Store()], {Sink.RESULTS: "sums"})
    made.open(["x", "y"], iter([sums]))
    return made


def taken(commands):
    return [command.words == 7 for command in commands if isinstance(command, Pass)]


def test_what_writes_something_else_comes_before_the_sums_are_taken():
    made = opened()
    assert taken(copied(made, "y", "z")) == [False]
    assert taken(made.close()) == [True]
    assert list(made.close()) == []


def test_what_writes_an_operand_comes_behind():
    made = opened()
    assert taken(copied(made, "z", "x")) == [True, False]
    assert list(made.close()) == []


def test_a_synchronisation_comes_behind():
    made = opened()
    commands = list(made.synchronised())
    assert taken(commands) == [True] and isinstance(commands[-1], Sync)


def test_a_synchronisation_because_of_many_stores_comes_behind():
    made = opened()
    for _ in range(MOST_AFTER // 2):
        copied(made, "z", "z")
    commands = list(made.limited())
    assert taken(commands) == [True] and isinstance(commands[-1], Sync)


def test_a_load_waits_for_what_the_sums_were_written_as():
    """The results of the open product are counted where they are stored: behind those of the passes before."""
    made = opened()
    copied(made, "y", "z")
    list(made.close())
    load, *_ = copied(made, "sums", "w")
    assert load.after == 3
