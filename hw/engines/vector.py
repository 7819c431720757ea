"""Arithmetic of the vector engines: binary32, each operation of the same latency."""

from collections.abc import Callable
from functools import partial

from amaranth.hdl import Module, Value, ValueLike
from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.formats import BINARY32, FloatFormat
from hw.fp import FloatAdd, FloatConvert, FloatMultiply, FloatScale
from hw.parts.delay_line import delay
from hw.parts.modules import place

PLACES_BITS = 8
"""Width of the exponent of a power of two, signed."""


class VectorArithmetic:
    """Writes operations into a module as expressions; every result is `latency_cycles` enabled cycles old.

    Parameters
    ----------
    m : Module
        Where they go, with `platform` as its ``elaborate`` was given it.
    config : AcceleratorConfig
        Storage format and latency.
    en : Value
        Clock enable of all of them.
    """

    def __init__(self, m: Module, platform: object, config: AcceleratorConfig, en: Value) -> None:
        self.m = m
        self.platform = platform
        self.config = config
        self.en = en
        self.latency_cycles = config.vector_latency_cycles

    def later(self, value: ValueLike, operations: int, name: str) -> Value:
        """`value` as it was before so many operations."""
        return delay(self.m, self.en, value, operations * self.latency_cycles, name)

    def multiply(self, a: ValueLike, b: ValueLike, name: str) -> Value:
        """The product of two binary32 numbers."""
        make = partial(FloatMultiply, BINARY32, BINARY32, self.latency_cycles)
        return self._place(make, "float_multiply_binary32", name, a=a, b=b)

    def scale(self, a: ValueLike, places: ValueLike, name: str) -> Value:
        """The product of a binary32 number and 2**places, `PLACES_BITS` wide."""
        make = partial(FloatScale, BINARY32, PLACES_BITS, self.latency_cycles)
        return self._place(make, "float_scale_binary32", name, a=a, places=places)

    def add(self, a: ValueLike, b: ValueLike, name: str) -> Value:
        """The sum of two binary32 numbers."""
        # The USPE has the same module, with the same latency.
        return self._place(partial(FloatAdd, BINARY32, self.latency_cycles), "float_add_binary32", name, a=a, b=b)

    def narrow(self, a: ValueLike, name: str) -> Value:
        """A binary32 number rounded to the storage format."""
        return self._convert(BINARY32, self.config.storage_format, a, name)

    def widen(self, a: ValueLike, name: str) -> Value:
        """A number of the storage format in binary32, which holds it exactly."""
        return self._convert(self.config.storage_format, BINARY32, a, name)

    def _convert(self, source: FloatFormat, target: FloatFormat, a: ValueLike, name: str) -> Value:
        make = partial(FloatConvert, source, target, self.latency_cycles)
        return self._place(make, f"float_convert_{source.name}_{target.name}", name, a=a)

    def _place(self, make: Callable[[], wiring.Component], module: str, name: str, **operands: ValueLike) -> Value:
        block = place(self.m, self.platform, make, module=module, name=name)
        self.m.d.comb += block.en.eq(self.en)
        self.m.d.comb += [getattr(block, port).eq(value) for port, value in operands.items()]
        return block.o
