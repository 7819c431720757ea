"""The walker against a plain enumeration of the same walk."""

from math import prod
from random import Random

import pytest
from amaranth.sim import Simulator
from walk_oracle import elements

from hw.config import AcceleratorConfig
from hw.dma.walker import Walker
from hw.isa.commands import LOOPS, NO_LIMIT, Counter, Loop, Walk
from hw.parts.layouts import command_layout


def config(bits):
    return AcceleratorConfig(name="c", rows=2, columns=2, axi_data_bits=bits)


def as_init(walk):
    """A walk, or a run of words, as the layout's initial value."""
    if not isinstance(walk, Walk):
        return dict(zip(("base", "words"), walk, strict=True))
    fields = {name: getattr(walk, name) for name, _ in command_layout(Walk)}
    for name in "uv":
        fields[name] = [{key: getattr(loop, key) for key, _ in command_layout(Loop)} for loop in fields[name]]
    return fields


def run(dut, walks, pause=lambda: False, limit=20000):
    """Chunks and requests of walks, the cycle of each chunk, and the pulses of `illegal`."""
    chunks, requests, cycles, illegal = [], [], [], []

    async def feed(ctx):
        for walk in walks:
            ctx.set(dut.i.payload, as_init(walk))
            ctx.set(dut.i.valid, 1)
            while not (await ctx.tick().sample(dut.i.ready))[2]:
                pass
            ctx.set(dut.i.valid, 0)

    async def watch(ctx):
        done, cycle = 0, 0
        while done < len(walks):
            ctx.set(dut.o.ready, not pause())
            ctx.set(dut.requests.ready, not pause())
            values = await ctx.tick().sample(dut.o.valid, dut.o.ready, dut.o.payload, dut.requests.valid, dut.requests.ready,
                                             dut.requests.payload, dut.illegal)  # fmt: skip
            valid, ready, chunk, asks, taken, request, bad = values[2:]
            cycle += 1
            if asks and taken:
                requests.append((request.address, request.bytes))
            if valid and ready:
                chunks.append({name: getattr(chunk, name) for name, _ in dut.o.payload.shape()})
                cycles.append(cycle)
                done += chunk.last
            if bad:
                illegal.append(cycle)
                done += 1
            assert cycle < limit

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(watch)
    simulator.run()
    return chunks, requests, cycles, illegal


def expand(chunks, requests, beat):
    """Elements as the chunks have them; those inside take their addresses from the requests."""
    asked = [address + byte for address, size in requests for byte in range(size)]
    found, taken = [], 0
    for chunk in chunks:
        size = 1 << chunk["size_log2"]
        for place in range(chunk["count"]):
            address = None
            if not chunk["outside"]:
                address = asked[taken]
                assert address % beat == (chunk["offset"] + place * size) % beat
                assert chunk["offset"] + place * size < beat, "a chunk stays in its beat"
                taken += size
            found.append((chunk["u"] + place, chunk["v"], address, bool(chunk["outside"])))
    assert taken == len(asked)
    return found


def random_walk(random):
    """Any legal walk of up to a few hundred elements."""
    size_log2 = random.randrange(4)
    size = 1 << size_log2

    def loops(run):
        return tuple(
            Loop(
                count=random.randint(1, 5 if number == 0 else 3),
                delta=size * random.randint(-20, 20),
                guard_0=0 if run and not number else random.randint(-3, 3),
                guard_1=0 if run and not number else random.randint(-3, 3),
            )
            for number in range(LOOPS)
        )

    spaces = {"u": loops(True), "v": loops(False)}
    counts = dict.fromkeys((Counter.OUTER, Counter.MIDDLE, Counter.INNER), 1) | {random.choice(list(Counter)[1:]): 2}
    fields, free = {}, list(Counter)
    for name, loop in spaces.items():
        counter = random.choice(free)
        length = random.randint(1, min(12, prod(one.count for one in loop)))
        tile = length if counter is Counter.NONE else random.randint(-(-length // 3), length)
        if counter is not Counter.NONE:
            counts[counter] = -(-length // tile)
            free.remove(counter)
        fields |= {f"{name}_counter": counter, f"{name}_size": length, f"{name}_tile": tile}
    return Walk(
        base=size * random.randint(1000, 2000), size_log2=size_log2, boundary=random.randint(1, 9),
        outer=counts[Counter.OUTER], middle=counts[Counter.MIDDLE], inner=counts[Counter.INNER],
        run_limit=random.choice([0, 1, 2, NO_LIMIT, NO_LIMIT]), run_guard=random.randrange(2), start_0=random.randint(-4, 4),
        limit_0=random.choice([3, 65535]), start_1=random.randint(-3, 4), limit_1=random.choice([1, 4, 65535]),
        **spaces, **fields,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_walks_are_enumerated(seed):
    random = Random(seed)
    both, bits, most = [random_walk(random), random_walk(random)], random.choice([64, 128, 512]), random.choice([2, 4, 16])
    chunks, requests, _, illegal = run(Walker(config(bits), most), both, lambda: random.random() < 0.3)
    found = [element for walk in both for element in elements(walk)]
    assert expand(chunks, requests, bits // 8) == [(e.u, e.v, None if e.outside else e.address, e.outside) for e in found]
    assert not illegal
    assert sum(chunk["last"] for chunk in chunks) == 2
    assert sum(chunk["end_of_block"] for chunk in chunks) == sum(walk.outer * walk.middle * walk.inner for walk in both)
    assert all(1 <= chunk["count"] <= most for chunk in chunks)


def test_a_chunk_a_cycle_and_words_end_at_boundaries():
    walk = Walk(base=16, size_log2=1, boundary=6, u_size=20, u_tile=20, v_size=3, v_tile=3,
                u=(Loop(count=20), *(Loop(),) * 3), v=(Loop(count=3, delta=64), *(Loop(),) * 3))  # fmt: skip
    chunks, requests, cycles, _ = run(Walker(config(64), 16), [walk])
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
    assert requests == [(16, 40), (80, 40), (144, 40)]
    assert [(c["u"], c["count"], c["end_of_word"], c["end_of_beat"]) for c in chunks[: len(chunks) // 3]] == [
        (0, 4, 0, 1), (4, 2, 1, 0), (6, 2, 0, 1), (8, 4, 1, 1), (12, 4, 0, 1), (16, 2, 1, 0), (18, 2, 1, 1)
    ]  # fmt: skip


@pytest.mark.parametrize("bits", [64, 128])
def test_a_plain_walker_does_as_the_others_of_a_run_of_words(bits):
    """Cycle by cycle, of runs that begin anywhere in a beat."""
    runs = [(4 * first, words) for first in range(5) for words in (1, 2, 3, 9)]
    walks = [
        Walk(base=base, size_log2=2, u_size=words, u_tile=words, u=(Loop(count=words), *(Loop(),) * 3)) for base, words in runs
    ]
    random = [Random(1), Random(1)]
    due = run(Walker(config(bits), 1), walks, lambda: random[0].random() < 0.3)
    assert run(Walker(config(bits), 1, plain=True), runs, lambda: random[1].random() < 0.3) == due
    assert len(due[1]) == len(runs)


@pytest.mark.parametrize("size_log2", range(1, 4))
@pytest.mark.parametrize("part", [1, 2, 4])
def test_elements_stand_at_multiples_of_their_size(size_log2, part):
    """A number that does not is no chunk of any beat."""
    moved = (Loop(count=2, delta=part), *(Loop(),) * 3)
    bad = [Walk(base=64 + part, size_log2=size_log2), Walk(size_log2=size_log2, v_size=2, v_tile=2, v=moved)]
    chunks, _, _, illegal = run(Walker(config(64), 4), [*bad, Walk(size_log2=size_log2)])
    assert len(illegal) == (2 if part < 1 << size_log2 else 0)
    assert len(chunks) == (1 if part < 1 << size_log2 else 4)


def test_a_tile_behind_the_end_is_illegal():
    """Once it is reached: what is before it has come."""
    bad = Walk(boundary=4, outer=3, u_counter=Counter.OUTER, u_size=6, u_tile=3, u=(Loop(count=6), *(Loop(),) * 3))
    chunks, requests, _, illegal = run(Walker(config(64), 4), [bad, Walk()])
    assert len(illegal) == 1
    assert [chunk["count"] for chunk in chunks] == [3, 3, 1]
    assert len(requests) == 3
