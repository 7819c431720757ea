"""The update engine in Amaranth's simulator, against NumPy and the trainer's optimiser by bits."""

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import any_bits, join_fields, on_amaranth, on_verilog, run, split_fields

from hw.config import AcceleratorConfig
from hw.engines.wuve import WUVE
from hw.formats import BINARY32
from training.adamw import AdamW
from training.layers.module import Parameter
from training.loss_scale import LossScale
from training.numbers import canonical, to_bits
from training.optimiser import Sgd

RATES = {"unscale": -10, "pruned_decay": 2e-4, "weight_decay": 5e-4, "momentum": 0.9, "learning_rate": 0.1}


def config(lanes=2, *, add=4, storage="binary16", adamw=False):
    return AcceleratorConfig(
        name="test", rows=1, columns=1, add_latency_cycles=add, wuve_lanes=lanes, storage=storage, adamw=adamw
    )


def bits(values):
    return np.asarray(values, np.float32).view(np.uint32)


def rates_word(rates):
    exponent, *numbers = (rates[name] for name in RATES)
    moments = [(rates["moments"], 1)] if "moments" in rates else []
    return join_fields([(exponent & 0xFF, 8), *((bits(number), 32) for number in numbers), *moments])


def words(lanes, columns):
    """One integer for each `lanes` rows of (array, width) columns."""
    count = len(columns[0][0])
    fields = [[(column[row], width) for column, width in columns] for row in range(count)]
    return [join_fields(field for row in fields[start : start + lanes] for field in row) for start in range(0, count, lanes)]


def sources(config, weight, velocity, gradient, pruned):
    lanes = config.wuve_lanes
    return {
        "i_master": words(lanes, [(bits(weight), 32), (bits(velocity), 32), (pruned, 1)]),
        "i_gradient": words(lanes, [(bits(gradient), 32)]),
    }


def update(config, rates, weight, velocity, gradient, pruned):
    """The formula, one rounding an operation; rows of weight, velocity and copy, as bits."""
    unscale, *numbers = (rates[name] for name in RATES)
    pruned_decay, weight_decay, momentum, learning_rate = map(np.float32, numbers)
    with np.errstate(all="ignore"):
        g = gradient * np.float32(2.0**unscale)
        g = np.where(pruned, g + pruned_decay * weight, g)
        moments, sums = rates.get("moments"), g + weight_decay * weight
        v = canonical(momentum * velocity + (g * g if moments else sums))
        w = canonical(sums if moments else weight - learning_rate * v)
    return np.stack([bits(w), bits(v), to_bits(w, config.storage_format)], axis=1)


def results(config, traffic):
    widths = [32, 32, config.storage_format.width] * config.wuve_lanes
    return np.array([split_fields(word, widths) for word in traffic["o"].words], np.uint32).reshape(-1, 3)


def numbers(rng, count):
    return any_bits(BINARY32, count, rng).view(np.float32)


def tame(rng, count):
    return rng.normal(size=count).astype(np.float32)


def check(config, rates, tensors, **options):
    fed = sources(config, *tensors)
    traffic = run(WUVE(config), fed, {"o": len(fed["i_master"])}, inputs={"rates": rates_word(rates)}, **options)
    np.testing.assert_array_equal(results(config, traffic), update(config, rates, *tensors))
    return traffic


@settings(max_examples=5, deadline=None)
@given(
    lanes=st.integers(1, 2),
    add=st.sampled_from([1, 2, 3]),
    storage=st.sampled_from(["binary16", "bfloat16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2"]),
    stall=st.sampled_from([0.0, 0.4]),
    wild=st.booleans(),
    moments=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 1 << 30),
)
def test_updates_are_numpys_bits(lanes, add, storage, stall, wild, moments, seed):
    """Of an engine without AdamW; of one with it, masters and moments."""
    rng = np.random.default_rng(seed)
    adamw = moments is not None
    some, draw, count = config(lanes, add=add, storage=storage, adamw=adamw), numbers if wild else tame, 60
    rates = {name: rng.choice([value, 0.0, 1.0, abs(float(tame(rng, 1)[0]))]) for name, value in RATES.items()}
    rates["unscale"] = int(rng.integers(-24, 25))
    rates |= {"moments": moments} if adamw else {}
    check(some, rates, (*(draw(rng, count) for _ in range(3)), rng.integers(0, 2, count)), stall=stall)


def test_steps_are_those_of_the_trainers_optimiser():
    """Three steps of a tensor, one after another: each step's results are the next one's masters."""
    one, rng = config(1, add=1), np.random.default_rng(1)
    pruned = rng.integers(0, 2, 40)
    parameter = Parameter(tame(rng, 40), pruned=pruned.astype(bool))
    sgd = Sgd(momentum=0.9, weight_decay=5e-4, pruned_decay=2e-4, loss_scale=LossScale(1024.0))
    steps, wanted = [], []
    for _ in range(3):
        parameter.gradient = 1024 * tame(rng, 40)
        steps.append((parameter.value, sgd.velocities.get("w", np.zeros(40, np.float32)), parameter.gradient, pruned))
        assert sgd.step([("w", parameter)], 0.1)
        copy = parameter.value.astype(np.float16).view(np.uint16)
        wanted.append(np.stack([bits(parameter.value), bits(sgd.velocities["w"]), copy], axis=1))
    fed = sources(one, *(np.concatenate(column) for column in zip(*steps, strict=True)))
    traffic = run(WUVE(one), fed, {"o": 120}, inputs={"rates": rates_word(RATES)})
    np.testing.assert_array_equal(results(one, traffic), np.concatenate(wanted))


def test_moments_are_those_of_the_trainers_optimiser():
    """Three steps of a tensor: gradients' and squares' discounted sums, in the places of weights and velocities."""
    one, rng = config(1, add=1, adamw=True), np.random.default_rng(1)
    parameter, adamw = Parameter(tame(rng, 40)), AdamW(loss_scale=LossScale(1024.0))
    rates = dict.fromkeys(RATES, 0.0) | {"unscale": -10, "weight_decay": adamw.betas[0], "momentum": adamw.betas[1]}
    moments, steps, wanted = (np.zeros(40, np.float32),) * 2, [], []
    for _ in range(3):
        parameter.gradient = 1024 * tame(rng, 40)
        steps.append((*moments, parameter.gradient, np.zeros(40, int)))
        assert adamw.step([("w", parameter)], 0.1)
        moments = adamw.moments["w"]
        wanted.append(np.stack([bits(part) for part in moments], axis=1))
    fed = sources(one, *(np.concatenate(column) for column in zip(*steps, strict=True)))
    traffic = run(WUVE(one), fed, {"o": 120}, inputs={"rates": rates_word(rates | {"moments": 1})})
    np.testing.assert_array_equal(results(one, traffic)[:, :2], np.concatenate(wanted))


@pytest.mark.parametrize("moments", [None, 1])
def test_the_verilogs_bits_under_stalls(moments):
    one, rng = config(1, adamw=moments is not None), np.random.default_rng(5)
    rates = RATES | ({"moments": moments} if moments else {})
    check(one, rates, (*(numbers(rng, 80) for _ in range(3)), rng.integers(0, 2, 80)), stall=0.4, on=on_verilog)


@pytest.mark.parametrize("add, on", [(1, on_amaranth), (4, on_amaranth), (4, on_verilog)])
def test_a_word_a_cycle_and_the_declared_latency(add, on):
    one, rng = config(1, add=add), np.random.default_rng(2)
    traffic = check(one, RATES, (*(tame(rng, 50) for _ in range(3)), rng.integers(0, 2, 50)), on=on)
    assert traffic["i_master"].cycles == traffic["i_gradient"].cycles == [WUVE.interval_cycles * word for word in range(50)]
    assert traffic["o"].cycles == [taken + one.wuve_latency_cycles for taken in traffic["i_master"].cycles]


def test_overflow_is_seen_in_any_lane_and_stays_until_cleared():
    """Only a gradient that is taken counts: not one that waits for its master, or for the pipeline to move."""
    small, rng = config(add=1), np.random.default_rng(3)
    dut, seen = WUVE(small), [0]
    choices = [np.inf, -np.inf, np.nan, *[np.finfo(np.float32).max] * 30]

    async def bench(ctx):
        overflow = 0
        for _ in range(600):
            gradients = bits(rng.choice(choices, 2))
            clear = int(rng.random() < 0.2)
            ctx.set(Value.cast(dut.i_gradient.payload), join_fields((gradient, 32) for gradient in gradients))
            ctx.set(dut.clear, clear)
            for signal in (dut.i_gradient.valid, dut.i_master.valid, dut.o.ready):
                ctx.set(signal, int(rng.random() < 0.7))
            valid, ready, other, now = (
                await ctx.tick().sample(dut.i_gradient.valid, dut.i_gradient.ready, dut.i_master.valid, dut.overflow)
            )[2:]
            assert now == overflow
            taken = valid and ready
            assert not taken or other
            wild = not np.isfinite(gradients.view(np.float32)).all()
            overflow = int((taken and wild) or (overflow and not clear))
            seen.append(overflow)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert 100 < sum(seen) < 500
