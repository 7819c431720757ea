"""What is skipped is what would have been stepped: cycles and every counter are the same with and without skipping."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import dataflow.machine.units as units
from dataflow.machine.units.port import Memory
from dataflow.machine.units.walker import WalkRows
from dataflow.zoo.chain import Chain
from hw.isa.bits import UpdateCopy
from hw.isa.commands import Load, Source, Update
from hw.ratio import Ratio
from sim.random_programs import WIDE, both_ways, programs, random_programs


def compared(config, commands, memory):
    """Of a program that is stepped and skipped: the latter's result."""
    skipped, stepped = both_ways(config, commands, memory)
    assert skipped == stepped
    assert [moment[:-1] for moment in skipped.moments] == [moment[:-1] for moment in stepped.moments]
    assert stepped.stepped == stepped.cycles
    return skipped


@pytest.mark.parametrize("seed", range(8))
def test_random_steps_take_as_long_with_skipping(seed):
    config, found, memory = random_programs(seed)
    for commands in found:
        compared(config, commands, memory)


def test_much_of_a_larger_batch_is_skipped():
    """Convolutions whose windows are cut by the array, and gathered; bias gradients; updates."""
    chain = Chain().conv("conv1", 16, 3, bias=True).relu().conv("conv2", 16, 3, stride=2).global_pool("mean")
    network = chain.linear("out", 10).network("stack", (6, 6, 16))
    found = [compared(WIDE, commands, Memory(20, 1)) for commands in programs(network, WIDE, 24, Ratio(2, 8))]
    cycles, stepped = (sum(getattr(one, name) for one in found) for name in ("cycles", "stepped"))
    assert stepped < 0.9 * cycles


def test_gradients_of_padded_images_are_skipped():
    """The port is busy all the time, and images are no round number of rows: states return where images begin."""
    chain = Chain().conv("conv1", 16, 3).relu().conv("conv2", 16, 3).global_pool("mean")
    network = chain.linear("out", 10).network("stack", (7, 7, 16))
    found = compared(WIDE, programs(network, WIDE, 96, Ratio(2, 8))[1], Memory(20, 1))
    assert found.stepped < 0.5 * found.cycles


def step_with_packed_copies():
    """The backward program; its second convolution is updated in blocks, whose words stand in three orders."""
    chain = Chain().conv("conv1", 32, 1).relu().conv("conv2", 32, 3).relu().global_pool("mean")
    return programs(chain.linear("out", 10).network("stack", (2, 2, 16)), WIDE, 4, Ratio(2, 8))[1]


def test_words_are_alike_where_blocks_end():
    """Operand buffers are told of the ends of blocks; of words that are updated, only the last of all is another."""
    commands = step_with_packed_copies()
    update = next(number for number, one in enumerate(commands) if isinstance(one, Update) and one.copies & UpdateCopy.FORWARD)
    masters = [one.walk for one in commands[:update] if isinstance(one, Load) and one.source == Source.FACTORS][-1]
    assert masters.middle * masters.inner > 1
    words, chunks = (WalkRows(masters, WIDE, WIDE.vpu_lanes, ends=ends) for ends in (False, True))
    kinds, of_blocks = ([rows.kind(number) for number in range(rows.total)] for rows in (words, chunks))
    assert len(set(kinds[:-1])) == 1 and kinds[-1] != kinds[0] and not words.landmarks
    assert len(set(of_blocks)) == 3


def test_a_step_with_packed_copies_takes_as_long_with_skipping():
    compared(WIDE, step_with_packed_copies(), Memory(20, 1))


def rows_of_windows(size, batch):
    """Of the windows that a weight gradient reads of padded images, and what each row is."""
    network = Chain().conv("conv1", 8, 3).linear("out", 2).network("one", (size, size, 16))
    walks = [
        command.walk
        for command in programs(network, WIDE, batch, Ratio(2, 8))[1]
        if isinstance(command, Load) and command.source == Source.ACTIVATIONS
    ]
    rows = WalkRows(walks[-1], WIDE, 8)
    return rows, [rows.content(number) for number in range(rows.total)]


def test_landmarks_are_where_images_begin():
    """Of 7 x 7 pixels each."""
    rows, _ = rows_of_windows(7, 80)
    rows.kind(0)
    assert len(rows.landmarks) >= 16
    assert len({number % 49 for number in rows.landmarks}) == 1


def test_rows_are_the_same_as_others():
    random = np.random.default_rng(0)
    rows, contents = rows_of_windows(3, 40)
    found = Counter()
    for _ in range(400):
        start, images, count = (int(random.integers(1, most)) for most in (len(contents), 30, 40))
        other = start + 9 * images
        same = other + count <= len(contents) and contents[start : start + count] == contents[other : other + count]
        found[same] += 1
        assert rows.same(start, other, count) == (same or start == other)
    assert found[True] > 10 and found[False] > 10


FOLDER = Path(units.__file__).parent


def changed(body):
    """Attributes of ``self`` that are assigned, or changed through a method of a container."""
    for node in ast.walk(body):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                owner = part.value if isinstance(part, ast.Subscript) else part
                if isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "self":
                    yield owner.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            changes = node.func.attr in ("append", "popleft", "extend", "clear", "add") and isinstance(owner, ast.Attribute)
            if changes and isinstance(owner.value, ast.Name) and owner.value.id == "self":
                yield owner.attr


STATEFUL = [
    (path.name, kind)
    for path in sorted(FOLDER.glob("*.py"))
    for kind in ast.parse(path.read_text()).body
    if isinstance(kind, ast.ClassDef) and kind.name != "Unit"
    if "state" in {getattr(each, "name", "") for each in kind.body}
]


@pytest.mark.parametrize(("file", "kind"), STATEFUL, ids=[kind.name for _, kind in STATEFUL])
def test_a_unit_says_all_of_its_state(file, kind):
    """Every attribute that changes is named by `state`, or in its comments as what follows from others."""
    methods = {each.name: each for each in kind.body if isinstance(each, ast.FunctionDef)}
    source = ast.get_source_segment((FOLDER / file).read_text(), methods["state"])
    for name, body in methods.items():
        if name not in ("__init__", "state"):
            missing = {each for each in changed(body) if each not in source}
            assert not missing, f"{file}: {kind.name}.state says nothing of {sorted(missing)}, which {name} changes"


def test_every_unit_has_a_state():
    kinds = {kind.name for _, kind in STATEFUL}
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            bases = {getattr(base, "id", "") for base in getattr(node, "bases", ())}
            if isinstance(node, ast.ClassDef) and bases & {"Unit", "Port"}:
                assert node.name in kinds | {"Port"}, f"{path.name}: {node.name} has no state"
