"""Products and passes in parts: another order of the same work, in which each part waits for what it depends on."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from walk_oracle import elements

from dataflow import zoo
from dataflow.analysis.exact import RATES
from dataflow.compile import dependences
from dataflow.compile.assemble import assemble
from dataflow.compile.parts import span
from dataflow.compile.pipelines import Access, _is_safe
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, BatchNorm, Conv, GlobalPool, Linear, Network, Relu
from hw.config import PRESETS
from hw.isa.bits import PassOption
from hw.isa.commands import NO_LIMIT, Loop, Pass, Product, Store, Sync, Walk
from training.machine.executor import Executor

TINY = PRESETS["tiny"]


def made(network, batch, config=TINY, *, parts=True):
    return assemble(network, lower(network, config, batch=batch), config, RATES, parts=parts)


def whole(network, batch, config=TINY):
    """The same without parts."""
    return made(network, batch, config, parts=False)


def left(step, commands):
    """Memory after both programs, from the same random bytes; the executor refuses what does not wait for its operands."""
    size = max(tensor.offset + tensor.size_bytes for tensor in step.memory.tensors.values())
    machine = Executor(TINY, np.random.default_rng(3).integers(0, 60, size, dtype=np.uint8))  # no number is wild or large
    machine.run(commands)
    return machine.memory


def pooled(pixels=4):
    """A mean of pixels behind a convolution; its gradient, from memory to memory, comes before another convolution's."""
    layers = (
        Conv(name="first", inputs=(INPUT,), out_channels=8, kernel=3, padding=1),
        Conv(name="second", inputs=("first",), out_channels=32, kernel=3, padding=1),
        Relu(name="relu", inputs=("second",)),
        GlobalPool(name="pool", inputs=("relu",)),
        Linear(name="last", inputs=("pool",), out_features=4),
    )
    return Network(name="net", input_shape=(pixels, pixels, 4), layers=layers)


def taken(commands):
    """Products and passes in their order: what begins a product, what takes sums, what passes from memory to memory."""
    kinds = {Product: "begins"}
    return [
        kinds.get(type(step)) or ("takes" if step.options & PassOption.FROM_SUMS else "passes")
        for step in commands
        if isinstance(step, Product | Pass)
    ]


def test_the_passes_behind_a_product_go_on_beside_its_other_columns():
    """The mean of images behind a convolution: sums are taken, and pixels added, of some images at a time."""
    step, alone = made(pooled(), 16), whole(pooled(), 16)
    kinds = taken(step.forward)
    begins = [place for place, kind in enumerate(kinds) if kind == "begins"]
    second = kinds[begins[1] + 1 : begins[2]]
    assert second.count("takes") > 1
    assert second[: second.index("passes") + 2] == ["takes", "passes", "passes"], second  # the sum of pixels, then its share
    assert "takes" in second[second.index("passes") :]
    assert taken(alone.forward)[begins[1] :][:4] == ["begins", "takes", "passes", "passes"]


def test_a_product_begins_with_the_first_part_of_what_it_reads():
    """The gradient of a mean by images: the array has the first ones while the next ones are made."""
    step, alone = made(pooled(), 16), whole(pooled(), 16)
    kinds, before = taken(step.backward), taken(alone.backward)
    more = kinds.count("begins") - before.count("begins")
    assert more > 0
    place = next(place for place in range(len(kinds)) if kinds[place : place + 4] == ["passes", "begins", "passes", "takes"])
    assert kinds[place : place + 4 * more : 1][-1] in ("takes", "begins", "passes")
    assert kinds.count("passes") - before.count("passes") == more


@pytest.mark.parametrize(
    ("network", "batch"),
    [(pooled(), 16), (zoo.load("cnn"), 16), (zoo.load("vit/16"), 8), (zoo.load("vgg19/16"), 4), (zoo.load("resnet18/16"), 8)],
)
def test_parts_leave_the_same_bytes(network, batch):
    step, alone = made(network, batch), whole(network, batch)
    assert len(step.forward) > len(alone.forward)
    for half in ("forward", "backward"):
        assert np.array_equal(left(step, getattr(step, half)), left(alone, getattr(alone, half))), half


@pytest.mark.parametrize(("name", "batch"), [("cnn", 32), ("vit/16", 8)])
def test_parts_are_quicker(name, batch):
    network = zoo.load(name)
    for config in (TINY, PRESETS["small"]):
        step, alone = made(network, batch, config), whole(network, batch, config)
        for half in ("forward", "backward"):
            cycles = [execute(config, getattr(one, half), Memory.of(config)).cycles for one in (step, alone)]
            assert cycles[0] <= cycles[1], (config.name, half)


def test_the_number_of_parts_does_not_grow_with_the_batch():
    counts = [len(made(pooled(), batch).forward) for batch in (64, 256, 1024)]
    assert counts[0] == counts[1] == counts[2] or max(counts) <= min(counts) + 16 * 6  # sums, two passes, their streams


def test_sums_of_channels_go_on_from_part_to_part():
    """16 images of 16 pixels behind the second convolution: parts have whole sixteens of terms, 256 in all; one gives sums."""
    layers = (
        Conv(name="first", inputs=(INPUT,), out_channels=16, kernel=3, padding=1),
        BatchNorm(name="one", inputs=("first",)),
        Conv(name="second", inputs=("one",), out_channels=16, kernel=3, padding=1),
        BatchNorm(name="two", inputs=("second",)),
        GlobalPool(name="pool", inputs=("two",)),
        Linear(name="last", inputs=("pool",), out_features=4),
    )
    step = made(Network(name="net", input_shape=(4, 4, 16), layers=layers), 16)
    sums = [one for one in step.forward if isinstance(one, Pass) and one.options & PassOption.BESIDE]
    whole, *parts = sums
    assert (whole.terms, whole.goes_on) == (256, False)
    assert len(parts) > 1
    assert sum(part.terms for part in parts) == 256
    assert not any(part.terms % 16 for part in parts)
    assert [part.results for part in parts] == [*[0] * (len(parts) - 1), 16 // TINY.vpu_lanes]


def access(first, end, *, written=False, place="x"):
    return Access(place, written, first, end)


def test_a_part_comes_first_where_no_later_part_touches_its_bytes():
    """Of two operations in two parts each: part 0 of the second one comes before part 1 of the first."""
    halves = [[access(0, 8, written=True)], [access(8, 16, written=True)]]
    assert _is_safe([halves, [[access(0, 8)], [access(8, 16)]]])
    assert not _is_safe([halves, [[access(0, 9)], [access(9, 16)]]])  # reads a byte that is not there yet
    assert _is_safe([halves, [[access(0, 16, place="y")], []]])
    assert _is_safe([[[access(0, 8)], [access(8, 16)]], [[access(0, 16)], []]])  # both read
    assert not _is_safe([[[access(0, 8)], [access(8, 16)]], [[access(7, 9, written=True)], []]])  # what is still to be read
    assert _is_safe([halves, [[], [access(0, 16)]]])  # the last part comes behind all


def walks():
    loop = Loop(count=3, delta=-64, guard_1=-1)
    yield Walk(
        base=640, size_log2=1, u=(Loop(count=4), loop), u_size=12, u_tile=12, v=(Loop(count=5, delta=10),), v_size=5, v_tile=5
    )
    window = {"start_0": 1, "limit_0": 4, "start_1": 1, "limit_1": 4}  # of 3 x 3 over images of 4 x 4 pixels of 32 channels
    u = (Loop(count=32), Loop(count=3, delta=-64, guard_1=-1), Loop(count=3, delta=-128, guard_0=-1, guard_1=2))
    v = (
        Loop(count=4, delta=64, guard_1=1),
        Loop(count=4, delta=64, guard_0=1, guard_1=-3),
        Loop(count=2, delta=64, guard_0=-3, guard_1=-3),
    )
    yield Walk(base=4096, size_log2=1, u=u, u_size=288, u_tile=288, v=v, v_size=32, v_tile=32, **window)
    yield Walk(base=512, size_log2=2, u=(Loop(count=9),), u_size=9, u_tile=9, run_guard=1, start_1=-2, limit_1=5)
    yield Walk(base=512, size_log2=2, u=(Loop(count=9),), u_size=9, u_tile=9, run_guard=1, start_1=-20, limit_1=5)


@pytest.mark.parametrize("walk", [replace(walk, run_limit=NO_LIMIT) for walk in walks()])
def test_a_span_has_all_that_is_touched(walk):
    """And no more, where guards move with the address."""
    inside = [element.address for element in elements(walk) if not element.outside]
    first, end = span(walk)
    if inside:
        assert (first, end) == (min(inside), max(inside) + (1 << walk.size_log2))
    else:
        assert first == end


def test_stores_are_counted_from_a_synchronisation_on_which_no_sums_wait_for(monkeypatch):
    """Where few stores can be counted: behind whole drains and passes, not between the parts of a product's sums."""
    network = zoo.load("cnn")
    alone = made(network, 16)
    monkeypatch.setattr(dependences, "MOST_AFTER", 8)
    step = made(network, 16)
    for half in ("forward", "backward"):
        commands = getattr(step, half)
        assert np.array_equal(left(step, commands), left(alone, getattr(alone, half))), half
        assert sum(isinstance(one, Sync) for one in commands) > sum(isinstance(one, Sync) for one in getattr(alone, half))


def test_a_synchronisation_comes_behind_the_drains_of_products_alone(monkeypatch):
    """Eight convolutions one behind the other, without a pass from memory to memory between them."""
    names = ("input", *(f"conv{number}" for number in range(8)))
    layers = tuple(Conv(name=name, inputs=(before,), out_channels=4, kernel=1) for before, name in pairwise(names))
    network = Network(
        name="net", input_shape=(4, 4, 4), layers=(*layers, Linear(name="last", inputs=(names[-1],), out_features=2))
    )
    monkeypatch.setattr(dependences, "MOST_AFTER", 8)
    step = assemble(network, lower(network, TINY, batch=2), TINY, RATES)
    stores = [isinstance(one, Store) for one in step.forward]
    synchronised = [sum(stores[:place]) for place, one in enumerate(step.forward) if isinstance(one, Sync)]
    assert synchronised[:2] == [4, 8]
