"""The vector engine against NumPy by bits: every pass in Verilog, formats and sizes in Amaranth's simulator."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import any_bits, join_fields, on_amaranth, on_verilog, run, split_fields

from hw.config import AcceleratorConfig
from hw.engines.vpu import VPU
from hw.formats import BINARY32
from hw.isa.functions import Function
from sim.rtl.streams import Phase
from training.functions import apply
from training.numbers import canonical, from_bits, to_bits

STEPS = ("widen", "scale", "shift", "residual", "narrow", "relu", "gate", "multiply", "itself", "third", "round")
SELECTS = STEPS.index("itself")  # this and the next: r of a multiplication
EVERY_PASS = [
    dict(zip(STEPS, bits, strict=True))
    for bits in itertools.product((0, 1), repeat=len(STEPS))
    if bits[STEPS.index("multiply")] or not any(bits[SELECTS : SELECTS + 2])
]


def config(lanes=2, *, add=1, storage="binary16"):
    return AcceleratorConfig(name="test", rows=1, columns=1, add_latency_cycles=add, vpu_lanes=lanes, storage=storage)


def steps(*names):
    return {name: int(name in names) for name in STEPS}


def draw(rng, form, count):
    """Bits of the elements and of their operands: value, scale, shift, third, residual, mask."""
    value, scale, shift, third = (any_bits(BINARY32, count, rng) for _ in range(4))
    return {
        "value": value,
        "scale": scale,
        "shift": shift,
        "third": third,
        "residual": any_bits(form, count, rng),
        "mask": rng.integers(0, 2, count),
    }


def function_of(steps):
    """A function for about every third pass, which depends on its steps."""
    number = sum(bit << place for place, bit in enumerate(steps[name] for name in STEPS))
    return Function(number % len(Function)) if number % 3 == 1 else Function.NONE


def reference(form, steps, operands):
    """Value and mask, as bits; each operation rounds once and every NaN it gives is the canonical one."""
    bits = operands["value"]
    low = bits & np.uint32((1 << form.width) - 1)
    x = from_bits(low, form).astype(np.float32) if steps["widen"] else bits.view(np.float32)
    with np.errstate(all="ignore"):
        if steps["scale"]:
            x = canonical(x * operands["scale"].view(np.float32))
        if steps["shift"]:
            x = canonical(x + operands["shift"].view(np.float32))
        before, x = x, apply(function_of(steps), x)
        if steps["round"]:  # in the place of the function
            x = from_bits(to_bits(before, form), form).astype(np.float32)
        residual = from_bits(operands["residual"], form).astype(np.float32)
        if steps["residual"]:
            x = canonical(x + residual)
        if steps["multiply"]:
            third = operands["third"].view(np.float32)
            x = canonical(x * (third if steps["third"] else before if steps["itself"] else residual))
        bits = x.view(np.uint32)
        if steps["narrow"]:
            bits = to_bits(x, form)
            x = from_bits(bits, form)
        on = ~(x <= 0)
    if steps["relu"]:
        bits = np.where(on, bits, 0)
    if steps["gate"]:
        bits = np.where(operands["mask"], bits, 0)
    return np.stack([bits, on], axis=1)


def words(columns, lanes):
    rows = [list(zip(row, [width for _, width in columns], strict=True)) for row in zip(*(c for c, _ in columns), strict=True)]
    return [join_fields(itertools.chain(*rows[start : start + lanes])) for start in range(0, len(rows), lanes)]


def sources(config, steps, operands):
    """Words for the streams that the pass uses."""
    lanes, width = config.vpu_lanes, config.storage_format.width
    fed = {"i": words([(operands["value"], 32)], lanes)}
    multiplies = steps["multiply"]
    if steps["scale"] or steps["shift"] or (multiplies and steps["third"]):
        fed["i_factors"] = words([(operands[name], 32) for name in ("shift", "scale", "third")], lanes)
    if steps["residual"] or (multiplies and not steps["itself"] and not steps["third"]):
        fed["i_residual"] = words([(operands["residual"], width)], lanes)
    if steps["gate"]:
        fed["i_mask"] = words([(operands["mask"], 1)], lanes)
    return fed


def _inputs(each):
    return {"steps": join_fields((each[name], 1) for name in STEPS), "function": int(function_of(each))}


def check(config, passes, *, on=on_amaranth, **options):
    """One pass, of steps and operands, after another."""
    phases = []
    for each, operands in passes:
        fed = sources(config, each, operands)
        phases.append(Phase(fed, {"o": len(fed["i"])}, _inputs(each)))
    traffics = on(VPU(config), phases, **options)
    for (each, operands), traffic in zip(passes, traffics, strict=True):
        got = [split_fields(word, [32, 1] * config.vpu_lanes) for word in traffic["o"].words]
        wanted = reference(config.storage_format, each, operands)
        np.testing.assert_array_equal(np.array(got, np.uint32).reshape(-1, 2), wanted, err_msg=str(each))
    return traffics


def test_every_pass_gives_numpys_bits_under_stalls():
    one, rng = config(1, add=4), np.random.default_rng(1)
    check(one, [(each, draw(rng, one.storage_format, 4)) for each in EVERY_PASS], stall=0.3, on=on_verilog)


@settings(max_examples=4, deadline=None)
@given(
    lanes=st.integers(1, 2),
    add=st.sampled_from([1, 2, 3]),
    storage=st.sampled_from(["binary16", "bfloat16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2"]),
    stall=st.sampled_from([0.0, 0.4]),
    passes=st.lists(st.sampled_from(EVERY_PASS), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 30),
)
def test_any_format_and_size(lanes, add, storage, stall, passes, seed):
    some, rng = config(lanes, add=add, storage=storage), np.random.default_rng(seed)
    check(some, [(each, draw(rng, some.storage_format, 8 * lanes)) for each in passes], stall=stall)


@pytest.mark.parametrize("add, on", [(1, on_amaranth), (4, on_amaranth), (4, on_verilog)])
def test_a_word_a_cycle_and_the_declared_latency_in_every_pass(add, on):
    one, rng = config(1, add=add), np.random.default_rng(2)
    passes = [(each, draw(rng, one.storage_format, 40)) for each in (steps(), steps(*STEPS), steps("narrow", "relu"))]
    for traffic in check(one, passes, on=on):
        start = traffic["i"].cycles[0]
        assert traffic["i"].cycles == [start + word * VPU.interval_cycles for word in range(40)]
        assert traffic["o"].cycles == [cycle + one.vpu_latency_cycles for cycle in traffic["i"].cycles]


def test_the_relu_sees_the_number_that_is_stored():
    """A sum too small for the storage format is stored as zero, and its gradient is zero too, as in the trainer."""
    one = config(1)
    values = np.array([2.0**-26, 2.0**-24, -1.0, np.nan, -0.0], np.float32)
    operands = draw(np.random.default_rng(3), one.storage_format, len(values)) | {"value": values.view(np.uint32)}
    (traffic,) = check(one, [(steps("narrow", "relu"), operands)])
    assert [split_fields(word, [32, 1]) for word in traffic["o"].words] == [[0, 0], [1, 1], [0, 0], [0x7E00, 1], [0, 0]]


def test_a_stream_that_is_not_used_is_left_alone():
    """Words that nobody asked for stay where they are."""
    one, rng = config(1), np.random.default_rng(4)
    operands = draw(rng, one.storage_format, 10)
    fed = sources(one, steps(*STEPS), operands)
    with pytest.raises(AssertionError, match="'i_factors': 0, 'i_residual': 0, 'i_mask': 10, 'o': 10"):
        run(VPU(one), fed, {"o": 10}, inputs=_inputs(steps("gate")))
