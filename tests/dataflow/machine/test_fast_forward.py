"""What is skipped is what would have been stepped: cycles and every counter are the same with and without skipping."""

import re
from collections import Counter

import numpy as np
import pytest
from machine_parts import rows_of, rows_same, rows_wrong

from dataflow.machine.native import UNITS
from dataflow.machine.timing import Memory
from dataflow.zoo.chain import Chain
from hw.isa.bits import UpdateCopy
from hw.isa.commands import Load, Source, Store, Update
from hw.ratio import Ratio
from sim.stress.random_programs import WIDE, both_ways, programs, random_programs


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
    words, chunks = (rows_of(WIDE, masters, WIDE.vpu_lanes, ends=ends) for ends in (False, True))
    kinds = words["kinds"]
    assert len(set(kinds[:-1])) == 1 and kinds[-1] != kinds[0] and not words["landmarks"]
    assert len(set(chunks["kinds"])) == 3


def test_a_step_with_packed_copies_takes_as_long_with_skipping():
    compared(WIDE, step_with_packed_copies(), Memory(20, 1))


def windows(size, batch):
    """What a weight gradient reads of padded images."""
    network = Chain().conv("conv1", 8, 3).linear("out", 2).network("one", (size, size, 16))
    walks = [
        command.walk
        for command in programs(network, WIDE, batch, Ratio(2, 8))[1]
        if isinstance(command, Load) and command.source == Source.ACTIVATIONS
    ]
    return walks[-1]


def test_landmarks_are_where_images_begin():
    """Of 7 x 7 pixels each."""
    landmarks = rows_of(WIDE, windows(7, 80), 8)["landmarks"]
    assert len(landmarks) >= 16
    assert len({number % 49 for number in landmarks}) == 1


def test_rows_are_the_same_as_others():
    random = np.random.default_rng(0)
    walk = windows(3, 40)
    rows = rows_of(WIDE, walk, 8)
    contents = [rows["contents"][kind] for kind in rows["kinds"]]
    questions = []
    for _ in range(400):
        start, images, count = (int(random.integers(1, most)) for most in (len(contents), 30, 40))
        questions.append((start, start + 9 * images, count))
    found = Counter()
    for (start, other, count), same in zip(questions, rows_same(WIDE, walk, 8, questions), strict=True):
        expected = other + count <= len(contents) and contents[start : start + count] == contents[other : other + count]
        found[expected] += 1
        assert same == (expected or start == other)
    assert found[True] > 10 and found[False] > 10


@pytest.mark.parametrize("seed", range(12))
def test_rows_that_are_listed_together_are_as_each_alone(seed):
    config, found, _ = random_programs(seed)
    walks = {command.walk for commands in found for command in commands if isinstance(command, Load | Store)}
    for walk in walks:
        for ends in (False, True):
            assert not rows_wrong(config, walk, config.vpu_lanes, ends=ends)


def braced(text, start):
    """From the first brace behind `start` to the one that closes it."""
    depth = 0
    for place in range(text.index("{", start), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[text.index("{", start) : place + 1]
    raise AssertionError("no end")


CLASS = re.compile(r"^(?:template <.*>\n)?class (\w+)[^;{]*\{", re.MULTILINE)
STATE = re.compile(r"void state\(State& out\)")
MEMBER = r"(?:this->)?([a-z]\w*_)(?:\[[^\]]*\])?"
CHANGES = (
    rf"{MEMBER} (?:[-+|&]?=) ", rf"(?:\+\+|--){MEMBER}", rf"{MEMBER}(?:\+\+|--)",
    rf"{MEMBER}\.(?:push_back|emplace_back|pop_front|emplace|reset|begin|swap)\(", rf"std::fill\({MEMBER}",
    rf"--\(\w+ \? {MEMBER} : {MEMBER}\)",
)  # fmt: skip


def stateful():
    """Classes whose objects say their state: file, name, text."""
    for path in sorted(UNITS.glob("*.hpp")):
        text = path.read_text()
        for found in CLASS.finditer(text):
            body = braced(text, found.start())
            if STATE.search(body):
                yield path.name, found[1], body


CLASSES = [each for each in stateful() if each[1] not in ("Unit", "Clock")]


@pytest.mark.parametrize(("file", "name", "body"), CLASSES, ids=[name for _, name, _ in CLASSES])
def test_a_unit_says_all_of_its_state(file, name, body):
    """Every member that a method changes is named by `state`, or in its comments as what follows from others."""
    said = braced(body, STATE.search(body).start())
    constructor = re.search(rf"^    (?:explicit )?{name}\(", body, re.MULTILINE)
    methods = body.replace(said, "").replace(braced(body, constructor.start()) if constructor else "", "")
    changed = {
        each
        for pattern in CHANGES
        for found in re.findall(pattern, methods)
        for each in ([found] if isinstance(found, str) else found)
    }
    missing = {each for each in changed if not re.search(rf"\b{each}", said)}
    assert not missing, f"{file}: {name}::state says nothing of {sorted(missing)}"


def test_every_unit_has_a_state():
    """What the compiler asks of each class that is one; here, that the test above has found them, with what they change."""
    units = re.findall(r"class (\w+) : public (?:Unit|Taker|Port)\b", "".join(path.read_text() for path in UNITS.glob("*.hpp")))
    assert set(units) - {"Taker"} <= {name for _, name, _ in CLASSES} and len(units) > 12
