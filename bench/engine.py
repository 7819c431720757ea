"""The compute engine: cycles on the RTL, area of its elements and lanes, clock, export and simulator build."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

from amaranth.lib import wiring

from bench import Figure
from dataflow.ir.program import Dataflow
from hw.array.uspe import USPE
from hw.config import PRESETS
from hw.cores import CORES, DSP48E2
from hw.engines.sore import SoreLane
from hw.engines.vpu import VpuLane
from hw.engines.wuve import WuveLane
from hw.export.folder import export, to_verilog
from hw.formats import BINARY16
from hw.mac.dsp_core import Dsp48e2Mac
from hw.mac.edges import Normalise, Pack, Unpack
from hw.mac.exact import ExactMac
from hw.ratio import DENSE, MAX_KEPT, Ratio
from sim.area.levels import levels
from sim.area.synthesis import area, routed_clock
from sim.rtl.gemm import Gemm
from sim.rtl.mac import check_cores
from sim.rtl.products import build_player, play_products
from sim.simulators.verilator import changed_environment

SPARSE = Ratio(2, 8)
CORE_STEPS = 50_000_000


def figures() -> Iterator[Figure]:
    """All of them."""
    yield from _steady()
    yield from _large()
    yield from _export_and_build()
    yield from _area()
    yield from _cores()
    yield from _clock()


def _steady() -> Iterator[Figure]:
    """Utilisation without the first fill and the last drain: what one more run of tiles costs, on the RTL."""
    tiny = PRESETS["tiny"]
    for dataflow in Dataflow:
        for ratio in (DENSE, SPARSE):
            k = 256 if ratio.is_dense else 1024
            gemms = [Gemm(config=tiny, m=16, n=columns, k=k, ratio=ratio, dataflow=dataflow) for columns in (256, 512)]
            cycles = [play_products(tiny, [gemm.operands()]).cycles[0] for gemm in gemms]
            macs = gemms[1].useful_macs() - gemms[0].useful_macs()
            share = macs / (tiny.macs_per_cycle * (cycles[1] - cycles[0]))
            yield Figure(f"steady utilisation, {dataflow}, {ratio}", 100 * share, "%", "tiny, 16x256x256 kept more", ">= 100")


def _large() -> Iterator[Figure]:
    """Utilisation with fill and drain, and sparse against dense."""
    medium, cycles = PRESETS["medium"], {}
    for ratio in (DENSE, SPARSE):
        gemm = Gemm(config=medium, m=256, n=256, k=1024, ratio=ratio)
        cycles[ratio] = play_products(medium, [gemm.operands()]).cycles[0]
        share = gemm.useful_macs() / (medium.macs_per_cycle * cycles[ratio])
        yield Figure(f"utilisation, {ratio}", 100 * share, "%", "medium, 256x256x1024, fill and drain included", ">= 97")
    yield Figure("2:8 against dense, cycles", cycles[DENSE] / cycles[SPARSE], "ratio", "medium, 256x256x1024", ">= 3.9")


def _export_and_build() -> Iterator[Figure]:
    start = time.perf_counter()
    verilog, _ = export(PRESETS["vcu1525"])
    yield Figure("export, time", time.perf_counter() - start, "s", "vcu1525", "<= 20")
    yield Figure("export, size", len(verilog) / 1e6, "MB", "vcu1525", "<= 2")
    with tempfile.TemporaryDirectory() as cache, changed_environment({"NMTRAIN_CACHE": cache}):
        for when, target in (("cold", "<= 60"), ("again", "<= 2")):
            start = time.perf_counter()
            build_player(PRESETS["small"])
            yield Figure(f"Verilator build, {when}", time.perf_counter() - start, "s", "small", target)


def _area() -> Iterator[Figure]:
    """Of a processing element with each core, of its parts, and of a lane of each vector engine."""
    tiny = PRESETS["tiny"]
    dsp = replace(tiny, uspe_core=DSP48E2)
    parts = {
        "USPE": (USPE(tiny), {"lut": "<= 520"}),
        "its core": (ExactMac(tiny), {}),
        "USPE of DSP48E2": (USPE(dsp), {"lut": "<= 280", "ff": "<= 600", "dsp": "<= 4"}),
        "its core, of DSP48E2": (Dsp48e2Mac(dsp), {}),
        "operand made of a stored number": (Normalise(BINARY16), {}),
        "binary32 made of a sum": (Pack(BINARY16), {}),
        "sum made of binary32": (Unpack(BINARY16), {}),
        "WUVE lane": (WuveLane(tiny), {}),
        "VPU lane": (VpuLane(tiny), {}),
        "SORE lane": (SoreLane(tiny, MAX_KEPT), {}),
    }
    for name, (component, targets) in parts.items():
        for kind, count in _cells(component).items():
            yield Figure(f"{name}, {kind.upper()}", count, "cells", "xcup, groups of up to 16", targets.get(kind, ""))

    for config, target in ((tiny, ""), (dsp, "<= 6")):
        depth = levels("uspe", to_verilog(USPE(config), "uspe"))
        yield Figure(f"levels of lookup tables, core {config.uspe_core}", depth, "levels", "xcup, 2 + 4", target)


def _cores() -> Iterator[Figure]:
    """Both cores beside IEEE arithmetic."""
    for storage in ("binary16", "float8_e4m3", "float8_e5m2"):
        config = replace(PRESETS["tiny"], storage=storage)
        found = check_cores(config, CORES, CORE_STEPS, seed=0)
        where = f"{storage}, {found['steps']:,} random steps, {found['cancelled']:,} of which cancel ten places or more"
        for core in CORES:
            yield Figure(f"sums that differ from IEEE's, core {core}", found[f"{core} different"], "sums", where, "<= 0")


def _cells(component: wiring.Component) -> dict[str, float]:
    """Of all of it, flat."""
    return {kind: area("top", to_verilog(component, "top"), {}, "xcup").cells[kind] for kind in ("lut", "ff", "dsp")}


def _clock() -> Iterator[Figure]:
    """Yosys and nextpnr, ECP5-85 speed grade 8, routed."""
    for multiply, add in ((2, 4), (4, 8)):
        config = replace(PRESETS["tiny"], multiply_latency_cycles=multiply, add_latency_cycles=add)
        clock = routed_clock("uspe", to_verilog(USPE(config), "uspe"))
        name = f"USPE, routed clock, latencies {multiply} + {add}"
        yield Figure(name, clock, "MHz", "ECP5-85, speed grade 8", ">= 160" if add == 8 else ">= 125")
