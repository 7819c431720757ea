"""The engine in Amaranth's own simulator, against NumPy by bits and the cycle model by cycles."""

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.ir.program import Dataflow
from dataflow.scheduling.array import ArrayUnit
from hw.array.stce import STCE
from hw.config import AcceleratorConfig
from hw.ratio import parse_ratio
from sim.rtl.gemm import Gemm, reference
from sim.rtl.player import play


def config(rows, columns, *, multiply=2, add=4, group=8, storage="binary16"):
    return AcceleratorConfig(
        name="test",
        rows=rows,
        storage=storage,
        partial_sum_words=32,
        columns=columns,
        max_group=group,
        multiply_latency_cycles=multiply,
        add_latency_cycles=add,
    )


def simulate(config, plays, stall=0.0):
    """Words of sums, and the cycle of each from the first command on."""
    dut, rng = STCE(config), np.random.default_rng(1)
    words, times, clock = [], [], {"cycle": 0}

    def source(port, items):
        async def feed(ctx):
            for item in items:
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(Value.cast(port.payload), item)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)

        return feed

    async def collect(ctx):
        total = sum(one.words for one in plays)
        while len(words) < total:
            ready = rng.random() >= stall
            ctx.set(dut.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, Value.cast(dut.o.payload))
            clock["cycle"] += 1
            assert clock["cycle"] < 50_000, f"{len(words)} of {total} words"
            if valid and ready:
                words.append([payload >> 32 * row & 0xFFFFFFFF for row in range(config.rows)])
                times.append(clock["cycle"])

    def integers(rows):
        return [int.from_bytes(bytes(row), "big") for row in rows]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source(dut.i_tiles, [int.from_bytes(one.command(), "big") for one in plays]))
    simulator.add_testbench(source(dut.i_w2e, [word for one in plays for word in integers(one.weight_words())]))
    simulator.add_testbench(source(dut.i_n2s, [word for one in plays for word in integers(one.group_words())]))
    simulator.add_testbench(collect)
    simulator.run()
    return np.array(words, dtype=np.uint32), times


PRODUCTS = [
    (7, 5, 11, "dense", "os"),
    (7, 5, 11, "2:4", "os"),
    (5, 9, 11, "2:4", "ws"),
    (2, 70, 5, "dense", "ws"),
    (3, 14, 21, "1:8", "os"),
    (1, 1, 1, "dense", "os"),
    (1, 1, 1, "dense", "ws"),
    (5, 7, 3, "2:8", "os"),
]


@pytest.mark.parametrize(
    "config",
    [config(2, 3), config(1, 1, multiply=1, add=1), config(3, 2, multiply=3, add=3), config(4, 1, add=5)],
    ids=lambda config: f"{config.rows}x{config.columns}-{config.multiply_latency_cycles}-{config.add_latency_cycles}",
)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_products_back_to_back_are_numpys_bits(config, stall):
    check(config, PRODUCTS, stall)


@settings(max_examples=10, deadline=None)
@given(
    config=st.builds(
        config,
        st.integers(1, 4),
        st.integers(1, 4),
        multiply=st.integers(1, 3),
        add=st.integers(1, 4),
        group=st.sampled_from([4, 8, 16]),
        storage=st.sampled_from(["binary16", "bfloat16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2"]),
    ),
    products=st.lists(
        st.tuples(
            st.integers(1, 9),
            st.integers(1, 9),
            st.integers(1, 20),
            st.sampled_from(["dense", "1:2", "1:4", "2:4", "3:4"]),
            st.sampled_from(["os", "ws"]),
        ),
        min_size=1,
        max_size=3,
    ),
    stall=st.sampled_from([0.0, 0.4]),
)
def test_any_array(config, products, stall):
    check(config, products, stall)


def check(config, products, stall):
    """Play (m, n, k, ratio, dataflow) back to back, and compare words with NumPy and cycles with the model."""
    gemms = [
        Gemm(config=config, m=m, n=n, k=k, ratio=parse_ratio(ratio), seed=seed, dataflow=Dataflow(dataflow))
        for seed, (m, n, k, ratio, dataflow) in enumerate(products)
    ]
    plays = [play(config, gemm.operands()) for gemm in gemms]
    words, times = simulate(config, plays, stall)
    ends = np.cumsum([one.words for one in plays])
    for one, part in zip(plays, np.split(words, ends[:-1]), strict=True):
        np.testing.assert_array_equal(one.result(part).view(np.uint32), reference(config, one.operands).view(np.uint32))
    model = ArrayUnit(config, [one.operands.tile(config) for one in plays]).run()
    measured = [times[end - 1] for end in ends]
    if stall:
        assert measured[-1] >= model[-1]
    else:
        assert measured == model


def test_a_step_a_cycle():
    """Full tiles take one cycle a step: what is beyond the steps is the declared latency, whatever the length."""
    small = config(2, 2)
    for k in (16, 64):
        plays = [play(small, Gemm(config=small, m=16, n=8, k=k, ratio=parse_ratio("2:8")).operands())]
        _, times = simulate(small, plays)
        steps = (16 * 8 * k // 4) // small.macs_per_cycle
        assert times[-1] == steps + small.stce_latency_cycles
