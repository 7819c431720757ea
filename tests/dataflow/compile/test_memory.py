"""Places of tensors by hand: pitches, sizes, second places."""

from dataclasses import replace

import pytest

from dataflow.compile.memory import MOMENTS, NEXT, Memory
from hw.config import PRESETS
from hw.errors import InputError

CONFIG = replace(PRESETS["tiny"], axi_data_bits=128)  # binary16, groups of 16 at most


def test_tensors_stand_one_after_the_other_from_multiples_of_64_bytes():
    """5 · 7 numbers of 2 bytes are 70; 3 of 4 bytes are 12; 33 pairs of 8 bytes are 264."""
    memory = Memory(CONFIG, {})
    shapes = {"a": ("storage", (5, 7)), "b": ("binary32", (3,)), "c": ("pairs", (33,)), "d": ("storage", (1,))}
    made = [memory.add(name, *shape) for name, shape in shapes.items()]
    assert [(one.offset, one.size_bytes) for one in made] == [(0, 70), (128, 12), (192, 264), (512, 2)]
    assert memory.size_bytes == 576
    assert memory.add("a", "storage", (7, 5)) == replace(made[0], shape=(7, 5), pitch=5)
    assert memory.size_bytes == 576


@pytest.mark.parametrize(
    "kind, length, pitch",
    [("storage", 5, 8), ("storage", 8, 8), ("storage", 9, 16), ("binary32", 5, 8), ("master", 3, 4), ("pairs", 2, 2)],
)
def test_rows_that_are_apart_begin_at_a_beat_each(kind, length, pitch):
    """A beat of 16 bytes has 8 numbers of 2 bytes, 4 of 4, 2 of 8."""
    tensor = Memory(CONFIG, {}).add("a", kind, (3, length), apart=True)
    assert tensor.pitch == pitch and tensor.strides[0] % 16 == 0
    assert Memory(CONFIG, {}).add("a", kind, (3, length)).pitch == length


def test_an_element_that_is_a_beat_is_apart_anyway():
    assert Memory(replace(CONFIG, axi_data_bits=64), {}).add("a", "pairs", (3, 5), apart=True).pitch == 5


@pytest.mark.parametrize("rows, parts", [(20, 1), (32, 1), (40, 2), (6, 2)])
def test_packed_rows_have_room_for_whole_groups_behind_the_last_part(rows, parts):
    """The last of the parts begins at rows - rows / parts, and is written in whole groups of rows."""
    group = CONFIG.max_group
    tensor = Memory(CONFIG, {}).add("a", "packed", (1, 4, 2, rows), parts)
    each = rows // parts
    assert tensor.pitch == rows - each + -(-each // group) * group
    assert tensor.size_bytes == 1 * 4 * 2 * tensor.pitch * 4  # a value and a place, 2 bytes each


def test_what_is_trained_has_what_the_optimiser_remembers():
    memory = Memory(CONFIG, {})
    memory.train("a", (6,))
    assert {name: (one.kind, one.size_bytes) for name, one in memory.tensors.items()} == {"a": ("master", 48)}
    memory = Memory(CONFIG, {}, moments=True)
    memory.train("a", (6,))
    found = {name: (one.kind, one.size_bytes) for name, one in memory.tensors.items()}
    assert found == {"a": ("binary32", 24), "a" + MOMENTS: ("moments", 48)}


def test_second_places_are_behind_all_first_ones_and_change_with_them():
    def doubled(*, exchanged):
        memory = Memory(CONFIG, {})
        memory.add("a", "storage", (40,))
        memory.add("b", "storage", (3,))
        memory.double(exchanged=exchanged)
        assert memory.size_bytes == 2 * (128 + 64)
        assert memory.add("c", "storage", (1,)).offset == 384
        return {name: tensor.offset for name, tensor in memory.tensors.items() if name != "c"}

    assert doubled(exchanged=False) == {"a": 0, "a" + NEXT: 192, "b": 128, "b" + NEXT: 320}
    assert doubled(exchanged=True) == {"a": 192, "a" + NEXT: 0, "b": 320, "b" + NEXT: 128}


def test_a_name_stands_for_a_place_through_others():
    memory = Memory(CONFIG, {"x": "y", "y": "a", "a": "a"})
    made = memory.add("a", "storage", (2, 6))
    assert memory["x"] == made and memory.place("x") == "a" and memory.place("z") == "z"
    memory.alias("z", "y")
    assert memory.add("z", "storage", (3, 4)) == replace(made, shape=(3, 4), pitch=4)
    with pytest.raises(InputError, match=r"^gone: nothing that the accelerator runs writes this tensor$"):
        memory["gone"]


def test_parts_of_a_tensor_are_where_they_stand():
    """Of 4 rows of 12 numbers, 24 bytes a row: the second of 3 parts begins 8 bytes on, the third row 48."""
    tensor = Memory(CONFIG, {}).add("a", "storage", (4, 12))
    part = tensor.part(1, 3)
    assert (part.offset, part.shape, part.strides) == (8, (4, 4), (24, 2))
    cut = tensor.cut(0, 2, 1)
    assert (cut.offset, cut.shape, cut.strides) == (48, (1, 12), (24, 2))
    assert Memory(CONFIG, {}).add("b", "storage", (2, 3, 4, 5)).flat(3).shape == (6, 4, 5)
