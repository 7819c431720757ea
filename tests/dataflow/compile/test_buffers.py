"""Where loads go in operand buffers: values by hand, of shares that fill half of one."""

import pytest

from dataflow.compile.buffers import place_loads
from hw.config import PRESETS
from hw.isa.commands import Halt, Load, Product, Source, Sync

TINY = PRESETS["tiny"]
ROOM = {Source.WEIGHTS: TINY.weight_buffer_words, Source.ACTIVATIONS: TINY.activation_buffer_words}
HALF = {source: room // 2 for source, room in ROOM.items()}


def product(source, words, shares=2):
    """A load of so many words, in shares, and what reads them."""
    return [Load(source=source, shares=shares, share_words=words // shares), Product()]


def places(commands):
    return [(load.base, load.beside) for load in place_loads(TINY, commands) if isinstance(load, Load)]


def in_turn(source, *words):
    """Where the loads of products, one behind the other, go."""
    return places([command for count in words for command in product(source, count)])


@pytest.mark.parametrize("source", ROOM)
def test_loads_take_turns_where_they_fit(source):
    """Two halves fill it to the last word; one that fills the first half goes there, though the second is in use."""
    half, room = HALF[source], ROOM[source]
    assert in_turn(source, half, half, half) == [(0, 0), (half, 1), (0, 1)]
    assert in_turn(source, half, half, half + 2, half - 2) == [(0, 0), (half, 1), (0, 0), (half + 2, 1)]
    assert in_turn(source, half, room, 2) == [(0, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize("end", [Sync(), Halt()])
def test_all_is_free_behind_a_synchronisation(end):
    half = HALF[Source.WEIGHTS]
    assert places([*product(Source.WEIGHTS, half), end, *product(Source.WEIGHTS, half)]) == [(0, 0), (0, 0)]
    assert places([*product(Source.WEIGHTS, half), *product(Source.WEIGHTS, half)]) == [(0, 0), (half, 1)]


def test_a_product_reads_where_its_own_loads_are():
    """Each of both buffers for itself; what is not loaded again keeps its place in the command."""
    weights, rows = HALF[Source.WEIGHTS], 6
    loads = [
        Load(source=Source.WEIGHTS, shares=1, share_words=weights),
        Load(source=Source.ACTIVATIONS, shares=3, share_words=2),
    ]
    made = place_loads(TINY, [*loads, Product(), *loads, Product(), loads[1], Product(weight_base=7)])
    bases = [(one.weight_base, one.activation_base) for one in made if isinstance(one, Product)]
    assert bases == [(0, 0), (weights, rows), (7, 0)]


@pytest.mark.parametrize("taps", [{"taps_y": 3}, {"taps_x": 2}])
def test_the_windows_of_a_product_take_the_words_of_its_lines(taps):
    """Lines of 5 words, two apart, are 10, whatever the shares say; of weights, or without taps, 3 shares of 4 are 12."""
    loads = [Load(source=source, shares=3, share_words=4, word_step=2) for source in ROOM]

    def bases(reader):
        made = place_loads(TINY, [*loads, reader, *loads, reader])
        return {load.source: load.base for load in made if isinstance(load, Load)}

    assert bases(Product(tap_words=5, **taps)) == {Source.WEIGHTS: 12, Source.ACTIVATIONS: 10}
    assert bases(Product(tap_words=5)) == {Source.WEIGHTS: 12, Source.ACTIVATIONS: 12}
