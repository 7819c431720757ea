"""The blocks in Amaranth's simulator: every format pair, several latencies, the clock enable at random."""

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.sim import Simulator
from fp_operands import operands, partners
from fp_oracle import decode, encode, expect

from hw.formats import BFLOAT16, BINARY16, BINARY32, FLOAT8_E4M3, FLOAT8_E4M3FN, FLOAT8_E5M2
from hw.fp import FloatAdd, FloatConvert, FloatMultiply, FloatScale

NARROW = [BINARY16, BFLOAT16, FLOAT8_E4M3, FLOAT8_E4M3FN, FLOAT8_E5M2]
FORMATS = [*NARROW, BINARY32]
VECTORS = 150


def check(block, op, source, target, seed, freeze=0.3):
    """Stream operands of every class, see `stream`."""
    rng = np.random.default_rng(seed)
    rows = operands(source, VECTORS, rng)[:, np.newaxis]
    if op != "convert":
        rows = np.hstack([rows, partners(op, source, target, rows[:, 0], rng)[:, np.newaxis]])
    stream(block, ["a"] if op == "convert" else ["a", "b"], rows, expect(op, source, target, rows), rng, freeze)


def stream(block, ports, rows, expected, rng, freeze=0.3):
    """Feed rows, enabled at random: after every cycle the output belongs to `latency_cycles` enabled ones ago."""
    latency_cycles = block.latency_cycles
    ports = [getattr(block, port) for port in ports]

    def compare(context, index):
        if 0 <= index < len(rows):
            actual, wanted = context.get(block.o), int(expected[index])
            assert actual == wanted, f"{[f'{bits:x}' for bits in rows[index]]} gives {actual:x}, not {wanted:x}"

    async def bench(context):
        accepted = 0
        while accepted < len(rows) + latency_cycles:
            enable = rng.random() >= freeze
            row = rows[min(accepted, len(rows) - 1)] if enable else [rng.integers(1 << len(port)) for port in ports]
            for port, bits in zip(ports, row, strict=False):
                context.set(port, int(bits))
            context.set(block.en, enable)
            if latency_cycles == 0:
                if enable:
                    compare(context, accepted)
            else:
                await context.tick()
                compare(context, accepted + enable - latency_cycles)
            accepted += enable

    simulator = Simulator(block)
    if latency_cycles:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("target", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("source", NARROW, ids=lambda form: form.name)
def test_multiply_between_formats(source, target):
    check(FloatMultiply(source, target, 2), "mul", source, target, seed=1)


def test_multiply_binary32():
    check(FloatMultiply(BINARY32, BINARY32, 3), "mul", BINARY32, BINARY32, seed=2)


@pytest.mark.parametrize("target", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("source", FORMATS, ids=lambda form: form.name)
def test_convert_between_formats(source, target):
    check(FloatConvert(source, target, 2), "convert", source, target, seed=3)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_add(form):
    check(FloatAdd(form, 4), "add", form, form, seed=4)


@pytest.mark.parametrize("latency_cycles", [0, 1, 4])
@pytest.mark.parametrize("form, places_bits", [(BINARY32, 8), (BINARY32, 10), (BINARY16, 1), (FLOAT8_E4M3, 5)])
def test_scale(form, places_bits, latency_cycles):
    """As a multiplication by the power of two, which a binary64 holds exactly."""
    rng, reach = np.random.default_rng(9), 1 << places_bits - 1
    bits = operands(form, 4 * VECTORS, rng)
    near_ends = rng.choice([-form.mantissa_bits, 0, form.bias, form.max_biased_exponent], len(bits))
    near_ends -= (bits >> form.mantissa_bits & form.max_biased_exponent).astype(int)
    places = np.where(
        rng.random(len(bits)) < 0.5, near_ends + rng.integers(-2, 3, len(bits)), rng.integers(-reach, reach, len(bits))
    )
    places = np.clip(places, -reach, reach - 1)
    with np.errstate(all="ignore"):
        expected = encode(form, np.ldexp(decode(form, bits).astype(np.float64), places))
    stream(FloatScale(form, places_bits, latency_cycles), ["a", "places"], np.stack([bits, places], axis=1), expected, rng)


@pytest.mark.parametrize("latency_cycles", [0, 1, 2, 3, 5, 7, 8, 11])
def test_latency(latency_cycles):
    check(FloatAdd(BINARY32, latency_cycles), "add", BINARY32, BINARY32, seed=5)
    check(FloatMultiply(BINARY16, BINARY32, latency_cycles), "mul", BINARY16, BINARY32, seed=6)
    check(FloatConvert(BINARY32, BINARY16, latency_cycles), "convert", BINARY32, BINARY16, seed=7)


def test_one_operation_every_cycle():
    block = FloatAdd(BINARY16, 4)
    assert block.interval_cycles == 1
    check(block, "add", BINARY16, BINARY16, seed=8, freeze=0)


@pytest.mark.parametrize(
    "block, has_rounding",
    [
        (lambda: FloatMultiply(BINARY16, BINARY32, 2), False),
        (lambda: FloatMultiply(FLOAT8_E4M3, BINARY32, 2), False),
        (lambda: FloatConvert(BINARY16, BINARY32, 2), False),
        (lambda: FloatMultiply(BFLOAT16, BINARY32, 2), True),
        (lambda: FloatMultiply(BINARY16, BINARY16, 2), True),
        (lambda: FloatConvert(BINARY32, BINARY16, 2), True),
    ],
)
def test_rounding_is_built_only_where_something_can_be_lost(block, has_rounding):
    text = verilog.convert(block(), strip_internal_attrs=True, emit_src=False)
    assert (" up;" in text) == has_rounding
