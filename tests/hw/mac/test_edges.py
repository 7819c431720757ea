"""Into the array's forms and out of them."""

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hw.formats import BFLOAT16, BINARY16, BINARY32, FLOAT8_E4M3, FLOAT8_E5M2, has_exact_products
from hw.mac.edges import Normalise, Pack, Unpack
from hw.mac.forms import ExactForms
from sim.rtl.forms import to_number, to_operands, to_sum


def through(block, words):
    """What the block makes of each word."""
    seen = []

    async def bench(context):
        for word in words:
            context.set(Value.cast(block.i), int(word))
            seen.append(context.get(Value.cast(block.o)))

    simulator = Simulator(block)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(seen)


def test_formats_with_exact_products():
    """The smallest product of binary16 is 2**-48, of bfloat16 2**-266; binary32's smallest normal number is 2**-126."""
    exact = {form: has_exact_products(form) for form in (BINARY16, FLOAT8_E4M3, FLOAT8_E5M2, BFLOAT16, BINARY32)}
    assert exact == {BINARY16: True, FLOAT8_E4M3: True, FLOAT8_E5M2: True, BFLOAT16: False, BINARY32: False}


def test_forms_are_as_wide_as_documented():
    forms = ExactForms(BINARY16)
    assert (forms.operand.size, forms.sum.size, forms.scale, forms.sum_scale) == (17, 35, 25, 49)


def test_operands_of_every_subnormal_and_of_other_numbers():
    rng = np.random.default_rng(0)
    ends = [0x0400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF]
    stored = np.concatenate([np.arange(1024), ends, rng.integers(0, 0x7C00, 1000)])
    stored = np.concatenate([stored, stored | 0x8000]).astype(np.uint16)
    np.testing.assert_array_equal(through(Normalise(BINARY16), stored), to_operands(BINARY16, stored.view(np.float16)))


@pytest.mark.parametrize(
    ("value", "fraction", "exponent", "sign"),
    [
        (1.0, 0, 25, 0),
        (-1.5, 512, 25, 1),
        (2.0**-24, 0, 1, 0),  # the smallest subnormal number
        (3 * 2.0**-24, 512, 2, 0),
        (65504.0, 1023, 40, 0),
        (-0.0, 0, 0, 1),
        (np.inf, 0, 63, 0),
        (np.nan, 512, 63, 0),
    ],
)
def test_an_operand_by_hand(value, fraction, exponent, sign):
    assert int(to_operands(BINARY16, np.float16(value))) == fraction | exponent << 10 | sign << 16


def sums():
    """Significand, exponent and infinities of sums, and their value in binary32."""
    cases = [(0, 0, 0, 0.0), (1 << 23, 49, 0, 1.0), (-1 << 23, 49, 0, -1.0), (2 << 23, 48, 0, 1.0), (-2 << 23, 48, 0, -1.0)]
    cases += [(1 << 23, 1, 0, 2.0**-48), (-2 << 23, 0, 0, -(2.0**-48)), (-(3 << 22), 106, 0, -1.5 * 2.0**57)]
    cases += [
        (any_, 77, infinities, value) for any_ in (0, -5) for infinities, value in ((1, np.inf), (2, -np.inf), (3, np.nan))
    ]
    rng = np.random.default_rng(1)
    for magnitude, exponent in zip(rng.integers(1 << 23, 1 << 24, 300), rng.integers(24, 107, 300), strict=True):
        significand = int(magnitude) * int(rng.choice((-1, 1)))
        cases.append((significand, int(exponent), 0, significand * 2.0 ** (int(exponent) - 72)))
    layout = ExactForms(BINARY16).sum
    names = ("significand", "exponent", "infinities")
    words = [layout.const(dict(zip(names, fields, strict=True))).as_bits() for *fields, _ in cases]
    return words, np.array([value for *_, value in cases], np.float32)


def test_sums_leave_as_binary32_numbers():
    words, values = sums()
    np.testing.assert_array_equal(through(Pack(BINARY16), words), values.view(np.uint32))
    np.testing.assert_array_equal([to_number(BINARY16, word) for word in words], values)


def test_binary32_numbers_enter_as_sums():
    _, values = sums()
    entered = through(Unpack(BINARY16), values.view(np.uint32))
    np.testing.assert_array_equal([to_number(BINARY16, int(word)) for word in entered], values)
    finite = np.isfinite(values)
    np.testing.assert_array_equal(entered[finite], [to_sum(BINARY16, value) for value in values[finite]])
