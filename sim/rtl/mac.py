"""Processing elements with each core side by side, against IEEE arithmetic, step for step."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.errors import SimulationError
from hw.export.folder import to_verilog
from hw.formats import BINARY32
from hw.mac.dsp48e2 import MODELS
from hw.mac.edges import Normalise, Pack, Unpack, convert
from hw.parts.modules import place
from hw.parts.selection import slices
from hw.processes import run, scratch
from sim.harness import HARNESS
from sim.simulators.verilator import build_program

BENCH = HARNESS / "mac_bench.cpp"
FLAGS = ("en", "stationary", "first", "last", "take")


class SideBySide(wiring.Component):
    """A USPE with each of some cores, all given the same; its numbers are stored ones, sums binary32.

    Parameters
    ----------
    config : AcceleratorConfig
        Of the USPE.
    cores : sequence of str
        Values of `uspe_core`.

    Members
    -------
    en, stationary, first, last, take, weight, index, drain, north
        As of `USPE`.
    o : Out(32 · cores)
        What each sends to the east, the first lowest.
    """

    def __init__(self, config: AcceleratorConfig, cores: Sequence[str]) -> None:
        self.config, self.cores = config, cores
        width = config.storage_format.width
        super().__init__(
            {
                **{name: In(1) for name in FLAGS},
                "weight": In(width),
                "index": In(config.index_bits),
                "drain": In(BINARY32.width),
                "north": In(width * config.max_group),
                "o": Out(BINARY32.width * len(cores)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        storage = self.config.storage_format
        weight = convert(m, platform, Normalise, storage, self.weight, "operand")
        partial_sum = convert(m, platform, Unpack, storage, self.drain, "sum")
        group = Cat(
            convert(m, platform, Normalise, storage, stored, f"activation_{number}")
            for number, stored in enumerate(slices(self.north, self.config.max_group))
        )
        sums: list[Value] = []
        for core in self.cores:
            make = partial(USPE, replace(self.config, uspe_core=core))
            uspe = place(m, platform, make, module=f"uspe_{core}", name=core)
            m.d.comb += [getattr(uspe.west, name).eq(getattr(self, name)) for name in FLAGS]
            m.d.comb += [uspe.west.weight.eq(weight), uspe.west.index.eq(self.index), uspe.west.drain.eq(partial_sum)]
            m.d.comb += uspe.north.eq(group)
            sums.append(convert(m, platform, Pack, storage, uspe.east.drain, f"{core}_sum"))
        m.d.comb += self.o.eq(Cat(sums))
        return m


def check_cores(config: AcceleratorConfig, cores: Sequence[str], steps: int, seed: int) -> dict[str, int]:
    """Play random steps, half of them in each dataflow, many of which cancel, with stalls and with resets of any length.

    Parameters
    ----------
    config : AcceleratorConfig
        Of the USPE; groups of 16.
    cores : sequence of str
        Values of `uspe_core`.
    steps : int
        How many.
    seed : int
        Of the random numbers.

    Returns
    -------
    dict of str to int
        ``steps``; of them ``nan``, ``infinite``, ``zero`` and ``cancelled`` (by ten places at least) sums; the ``lowest`` of
        how often terms of any distance of exponents up to 40 met; and for each core the ``different`` ones after its name.
    """
    storage, dut = config.storage_format, SideBySide(config, cores)
    with scratch() as folder:
        sources = {"top.v": to_verilog(dut, "top"), MODELS.name: MODELS.read_text(encoding="utf-8")}
        program = build_program(sources, BENCH.read_text(encoding="utf-8"), folder)
        sizes = (storage.exponent_bits, storage.mantissa_bits, config.multiply_latency_cycles, config.add_latency_cycles)
        arguments = [str(number) for number in (steps, seed, *sizes, len(cores))]
        status, printed = run([str(program), *arguments], folder)
    if status:
        raise SimulationError(f"the cores' bench ended with status {status}: {printed}")
    found: dict[str, int] = json.loads(printed)
    return {name.format(*cores): number for name, number in found.items()}
