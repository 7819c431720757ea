"""The accelerator as a whole: random programs, faults, AXI's rules, cycles beside the model's; export and area."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
from rich.progress import track

from bench import Figure
from dataflow import zoo
from dataflow.analysis.exact import RATES
from dataflow.compile.assemble import assemble
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Conv, Layer, Network, Relu
from hw.config import PRESETS, AcceleratorConfig
from hw.export.folder import export_block, modules_of
from hw.ratio import DENSE, Ratio
from sim.area.synthesis import summary, synthesise
from sim.steps.whole_step import StepOnRtl, step_on_rtl
from sim.stress.command_fuzz import fuzz_commands
from sim.stress.faults import backward_program, check_faults
from sim.stress.random_steps import CONFIGS, MORE_CONFIGS, random_step
from training import methods
from training.backend import ExactBackend
from training.data import load_data
from training.model import Model
from training.optimiser import Sgd

TINY = PRESETS["tiny"]
RANDOM_STEPS, FAULTS = 250, 1000
FUZZED_STEPS, MUTANTS = 12, 200
"""Random steps whose commands are changed, and programs of each."""

LATENCIES, INTERVALS = (5, 20, 100), (1, 3)
PORTS = (1, 2, 4)


def figures() -> Iterator[Figure]:
    """All of them."""
    yield from export()
    yield from area()
    yield from speedups()
    yield from whole_cycles()
    yield from ports()
    yield from random_steps()
    yield from faults()
    yield from command_words()


def export() -> Iterator[Figure]:
    """Of the accelerator's Verilog: how long it takes, and how large it is."""
    for name in ("tiny", "vcu1525"):
        start = time.perf_counter()
        verilog, _ = export_block(PRESETS[name], "sat")
        seconds, large = time.perf_counter() - start, name == "vcu1525"
        yield Figure("export of the accelerator, time", seconds, "s", name, "<= 30" if large else "")
        yield Figure("export of the accelerator, size", len(verilog) / 1e6, "MB", name, "<= 4" if large else "")


def area() -> Iterator[Figure]:
    """Of the whole, composed of its modules; as a share of the board's device."""
    result = summary(synthesise(modules_of(PRESETS["vcu1525"], "sat"), "xcup"), "xcup")
    for kind in ("lut", "ff", "dsp", "bram"):
        where = f"vcu1525, {result[kind]:,.10g} of the {result['device']['name']}'s {result['device']['available'][kind]:,}"
        yield Figure(f"share of {kind.upper()}", 100 * result["share"][kind], "%", where, "<= 85")


def speedups() -> Iterator[Figure]:
    """Whole steps on the machine, dense over BDWP 2:8: the cnn; stacks of convolutions, over what kept MACs allow."""
    for name, least in (("tiny", 1.88), ("small", 1.81)):
        dense, sparse = (_step_cycles(zoo.load("cnn"), name, 32, ratio)[0] for ratio in (DENSE, Ratio(2, 8)))
        yield Figure("dense over BDWP 2:8", dense / sparse, "ratio", f"cnn, batch 32, {name}", f">= {least}")
    for channels, pixels, layers, batch in ((64, 16, 3, 4), (64, 16, 3, 16), (256, 8, 2, 4), (512, 8, 2, 4)):
        stack = _stack(channels, pixels, layers)
        (dense, all_macs), (sparse, kept) = (_step_cycles(stack, "vcu1525", batch, ratio) for ratio in (DENSE, Ratio(2, 8)))
        where = f"{layers} convolutions of {channels} channels on {pixels}x{pixels}, batch {batch}, vcu1525"
        target = ">= 0.95" if batch > 4 else ">= 0.94"
        yield Figure("speedup over what kept MACs allow", dense / sparse / (all_macs / kept), "ratio", where, target)


def _stack(channels: int, pixels: int, layers: int) -> Network:
    """Convolutions of 3x3, of which the first one has 16 input channels and is not pruned."""
    made: list[Layer] = []
    for number in range(layers):
        before = made[-1].name if made else INPUT
        made.append(Conv(name=f"conv{number}", inputs=(before,), out_channels=channels, kernel=3, padding=1, bias=True))
        if number < layers - 1:
            made.append(Relu(name=f"relu{number}", inputs=(made[-1].name,)))
    return Network(name="stack", input_shape=(pixels, pixels, 16), layers=tuple(made))


def _step_cycles(network: Network, config_name: str, batch: int, ratio: Ratio) -> tuple[int, int]:
    """Cycles of a step on the machine, and the MACs that are kept."""
    config = PRESETS[config_name]
    stages = frozenset() if ratio.is_dense else methods.load("bdwp").sparse_stages
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=stages, prune_last=network.name == "stack")
    made = assemble(network, program, config, RATES)
    cycles = sum(execute(config, commands, Memory(40, 1)).cycles for commands in (made.forward, made.backward))
    return cycles, sum(product.m * product.n * product.kept * product.count for product in program.products)


def whole_cycles() -> Iterator[Figure]:
    """Whole steps at three latencies and two bandwidths of the memory."""
    for name, batch in (("mlp", 8), ("cnn", 3)):
        for latency in LATENCIES:
            for interval in INTERVALS:
                where = f"{name}, batch {batch}, bdwp 2:8; latency {latency}, a beat in {interval}"
                yield from _whole_step(TINY, name, batch, Memory(latency, interval), where)


def ports() -> Iterator[Figure]:
    """The same steps with several memory ports."""
    for name, batch in (("mlp", 8), ("cnn", 3)):
        for count in PORTS:
            where = f"{name}, batch {batch}, bdwp 2:8; {count} memory ports"
            yield from _whole_step(replace(TINY, dram_channels=count), name, batch, Memory(), where)


def _whole_step(config: AcceleratorConfig, name: str, batch: int, memory: Memory, where: str) -> Iterator[Figure]:
    data = load_data("digits")
    model = Model(zoo.load(name), ExactBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=Ratio(2, 8))
    step = step_on_rtl(config, model, Sgd(), data.train_images[:batch], data.train_labels[:batch], 0.05, memory)
    cycles = [program.outcome.registers["cycles"] for program in step.programs]
    predicted = [program.execution.cycles for program in step.programs]
    yield Figure("whole step on the RTL", sum(cycles), "cycles", where)
    yield Figure("RTL's cycles over the model's", sum(cycles) / sum(predicted), "ratio", where)
    yield Figure("counters that differ from the model's", _counters(step), "counters", where, "<= 0")
    yield Figure("bytes that differ", step.different, "bytes", where, "<= 0")


def random_steps() -> Iterator[Figure]:
    """On one configuration after the other: formats, ports and buffers."""
    every = (*CONFIGS, *MORE_CONFIGS)
    chosen = [every[seed % len(every)] for seed in range(RANDOM_STEPS)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        steps = list(track(pool.map(random_step, range(RANDOM_STEPS), chosen), "random steps", RANDOM_STEPS))
    where = f"{2 * len(steps)} programs of random networks' steps on {', '.join(config.name for config in every)}"
    compared = sum(row["bytes_compared"] for step in steps for program in step.programs for row in program.rows)
    yield Figure("bytes compared", compared / 1e6, "MB", where)
    yield Figure("bytes that differ", sum(step.different for step in steps), "bytes", where, "<= 0")
    yield Figure("counters that differ from the model's", sum(map(_counters, steps)), "counters", where, "<= 0")


def _counters(step: StepOnRtl) -> int:
    """How many counters, cycles included, are not as predicted."""
    return sum(one.counted[name] != one.predicted[name] for one in step.programs for name in one.predicted)


def faults() -> Iterator[Figure]:
    """Of memory and host, in the middle of programs."""
    for config in (TINY, replace(TINY, dram_channels=2)):
        rows, transfers = check_faults(config, *backward_program(config), FAULTS, seed=0)
        where = f"{len(rows)} faults of {len({row['kind'] for row in rows})} kinds, each followed by a sound program"
        where += f"; {config.dram_channels} memory ports"
        yield Figure(
            "runs in which anything was not as it should be", sum(bool(row["problems"]) for row in rows), "runs", where, "<= 0"
        )
        yield Figure("AXI transfers without a violation", transfers, "transfers", where, ">= 1e6")


def command_words() -> Iterator[Figure]:
    """Operations of random steps with a word of a command changed."""
    found = [verdict for seed in range(FUZZED_STEPS) for verdict in fuzz_commands(TINY, seed, MUTANTS)]
    ends = Counter(verdict.end for verdict in found)
    where = f"{len(found)} programs with a word changed: " + ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    yield Figure("programs in which executors differ", sum(bool(one.problems) for one in found), "programs", where, "<= 0")
