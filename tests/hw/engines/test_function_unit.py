"""The function unit against NumPy, by bits, in both simulators."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import any_bits, join_fields, on_amaranth, on_verilog, split_fields

from hw.config import AcceleratorConfig
from hw.engines.functions import FunctionUnit
from hw.formats import BINARY32
from hw.isa.functions import CURVES, Function
from sim.rtl.streams import Phase
from training.functions import apply


def config(lanes=1, add=1):
    return AcceleratorConfig(name="test", rows=1, columns=1, add_latency_cycles=add, vpu_lanes=lanes)


def draw(rng, count):
    """Bits of numbers of every kind, a third of them near the tables' ends and their segments'."""
    edges = np.array([edge for curve in CURVES.values() for edge in (curve.first, curve.first + 256)]) / 16
    near = rng.choice([*edges, *(2 * edges), 128, -126, -149], count) + rng.choice([0, 0, 1e-3, -1e-3], count)
    wide = (rng.normal(size=count) * np.exp2(rng.integers(-8, 6, count))).astype(np.float32)
    return np.choose(
        rng.integers(0, 3, count),
        [near.astype(np.float32).view(np.uint32), wide.view(np.uint32), any_bits(BINARY32, count, rng)],
    )


def check(one, functions, words, *, seed=0, on=on_amaranth, **options):
    rng, lanes = np.random.default_rng(seed), one.vpu_lanes
    numbers = [draw(rng, words * lanes).reshape(words, lanes) for _ in functions]
    fed = [[join_fields((bits, 32) for bits in word) for word in each] for each in numbers]
    phases = [Phase({"i": each}, {"o": words}, {"function": int(f)}) for f, each in zip(functions, fed, strict=True)]
    traffics = on(FunctionUnit(one), phases, seed=seed, **options)
    for function, each, traffic in zip(functions, numbers, traffics, strict=True):
        got = np.array([split_fields(word, [32] * lanes) for word in traffic["o"].words], np.uint32)
        due = apply(function, each.view(np.float32)).view(np.uint32)
        np.testing.assert_array_equal(got, due, err_msg=function.name)
    return traffics


@settings(max_examples=3, deadline=None)
@given(lanes=st.integers(1, 2), add=st.integers(1, 5), stall=st.sampled_from([0.0, 0.4]), seed=st.integers(0, 1 << 30))
def test_any_function_in_amaranths_simulator(lanes, add, stall, seed):
    check(config(lanes, add), [*Function], 12, seed=seed, stall=stall)


def test_every_functions_bits_in_verilog_under_stalls():
    check(config(2, 4), [*Function], 400, stall=0.3, on=on_verilog)


@pytest.mark.parametrize("add, on", [(1, on_amaranth), (4, on_verilog)])
def test_a_word_a_cycle_and_the_declared_latency(add, on):
    one = config(1, add)
    for traffic in check(one, [Function.NONE, Function.RECIPROCAL, Function.NORMAL], 30, on=on):
        start = traffic["i"].cycles[0]
        assert traffic["i"].cycles == [start + word * FunctionUnit.interval_cycles for word in range(30)]
        assert traffic["o"].cycles == [cycle + one.function_latency_cycles for cycle in traffic["i"].cycles]
