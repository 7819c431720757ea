"""Products of whole networks alone, and whole steps, over what no accelerator of this size could beat; and what passes add.

A product's *bound* is the largest of its kept multiply-accumulates over those of a cycle, and of the bytes that it must read,
or write, at least once over those that the ports move in a cycle each way. Its commands are those of the network's step.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product as choices
from math import ceil
from multiprocessing import get_context

from rich.progress import track

from bench import Figure
from dataflow import zoo
from dataflow.analysis.exact import RATES, run_on_machine
from dataflow.compile.assemble import assemble
from dataflow.ir import program
from dataflow.ir.program import Stage
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import Conv, Network
from dataflow.tokens import MatMul
from hw.config import PRESETS, AcceleratorConfig
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Halt, Load, Pass, Product, Source, Store, Update
from hw.isa.encoding import encode
from hw.ratio import DENSE, Ratio
from training import methods

NETWORKS = ("resnet9", "resnet18", "resnet50", "vgg19", "vit")
BATCH, STEP_BATCH = 8, 32
LONG_CYCLES = 5000
"""Of bounds: shorter products are judged in sequence, since loading, computing and draining follow each other in them."""


@dataclass(frozen=True)
class Alone:
    """A product by itself, and how often it is there.

    Parameters
    ----------
    name : str
        Layer and stage.
    commands : tuple of Command
        It and what drains it, then `Halt`.
    bound_cycles : int
        See above.
    is_window : bool
        Whether it is the forward product of a convolution of 3x3.
    read_bytes : int
        What it must read at least.
    """

    name: str
    commands: tuple[Command, ...]
    bound_cycles: int
    is_window: bool
    read_bytes: int


def figures() -> Iterator[Figure]:
    """Of the five networks, dense and 2:8."""
    config = PRESETS["vcu1525"]
    made = {(name, ratio): products_of(config, name, ratio) for name, ratio in choices(NETWORKS, (DENSE, Ratio(2, 8)))}
    programs = list(dict.fromkeys(one.commands for products in made.values() for one in products))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        run = pool.map(partial(_run, config), programs)
        found = dict(zip(programs, track(run, "products alone", len(programs)), strict=True))
    for (name, ratio), products in made.items():
        where = f"{name}, {'dense' if ratio.is_dense else ratio}, batch {BATCH}, vcu1525"
        yield from _of_network(where, products, found, "<= 1.05" if ratio.is_dense else "<= 1.08")
    for ratio, target in ((DENSE, "<= 1.12"), (Ratio(2, 8), "<= 1.20")):
        yield from _whole_steps(config, ratio, target)
    for name, target in (("resnet18", "<= 15"), ("vit", "<= 12")):
        yield _vector_work(config, name, target)


def _whole_steps(config: AcceleratorConfig, ratio: Ratio, target: str) -> Iterator[Figure]:
    """Cycles of whole steps over the sum of their products' bounds."""
    over = []
    for name in track(NETWORKS, "whole steps", len(NETWORKS)):
        network, step = _step(config, name, ratio, STEP_BATCH)
        bounds = sum(product.bound_cycles for product in products_of(config, name, ratio, STEP_BATCH))
        over.append(run_on_machine(network, step, config).cycles / bounds)
    where = f"{'dense' if ratio.is_dense else ratio}, batch {STEP_BATCH}, vcu1525"
    for name, one in zip(NETWORKS, over, strict=True):
        yield Figure("whole step, cycles over bounds of its products", one, "ratio", f"{name}, {where}")
    mean = sum(over) / len(over)
    yield Figure("whole step, cycles over bounds of its products", mean, "ratio", f"mean of {len(over)}, {where}", target)


def _vector_work(config: AcceleratorConfig, name: str, target: str) -> Figure:
    """Cycles of a step in which results of passes were completed and none of products or updates: `dataflow.analysis.exact`."""
    ratio = Ratio(2, 8)
    network, step = _step(config, name, ratio, STEP_BATCH)
    result = run_on_machine(network, step, config)
    cycles = sum(span.end - span.start for span in result.timeline.spans if span.cause == "vector")
    where = f"{name}, {ratio}, batch {STEP_BATCH}, vcu1525, of {result.cycles:,} cycles"
    return Figure("vector work beside products, share of a step", 100 * cycles / result.cycles, "%", where, target)


def _of_network(
    where: str, products: list[Alone], found: Mapping[tuple[Command, ...], tuple[int, int]], target: str
) -> Iterator[Figure]:
    cycles, bounds = (sum(numbers) for numbers in zip(*((found[x.commands][0], x.bound_cycles) for x in products), strict=True))
    yield Figure("products alone, cycles over bounds", cycles / bounds, "ratio", f"{len(products)} of {where}", target)
    long = [one for one in products if one.bound_cycles > LONG_CYCLES]
    if long:
        worst = max(long, key=lambda one: found[one.commands][0] / one.bound_cycles)
        over = found[worst.commands][0] / worst.bound_cycles
        yield Figure("worst product alone", over, "ratio", f"{worst.name}, {where}", "<= 1.35")
    windows = [one for one in products if one.is_window]
    if windows:
        traffic = [found[one.commands][1] / one.read_bytes for one in windows]
        name = "bytes read by forward products of 3x3, over what they must"
        yield Figure(name, max(traffic), "ratio", f"most of {len(windows)}, {where}", "<= 1.2")


def _run(config: AcceleratorConfig, commands: tuple[Command, ...]) -> tuple[int, int]:
    """Cycles, and bytes that loads have read."""
    run = execute(config, commands, Memory.of(config))
    return run.cycles, run.counters["read_beats"] * config.axi_data_bytes - len(encode(commands))


def _step(config: AcceleratorConfig, name: str, ratio: Ratio, batch: int) -> tuple[Network, program.Program]:
    """A network, and its step."""
    network = zoo.load(name)
    stages = frozenset() if ratio.is_dense else methods.load("bdwp").sparse_stages
    return network, lower(network, config, batch=batch, ratio=ratio, sparse_stages=stages)


def products_of(config: AcceleratorConfig, name: str, ratio: Ratio, batch: int = BATCH) -> list[Alone]:
    """All products of a network's step; the views of each say its bound, and its commands are cut from the step's."""
    network, step = _step(config, name, ratio, batch)
    made = assemble(network, step, config, RATES, parts=False)
    cut = _cut((*made.forward, *made.backward))
    layers = {layer.name: layer for layer in network.layers}
    shapes = {name: region.shape for name, region in step.regions.items()}
    found = []
    for one in step.products:
        layer = layers[one.layer]
        is_window = one.stage is Stage.FORWARD and isinstance(layer, Conv) and layer.kernel == 3
        for single in [one] if isinstance(layer, MatMul) else one.singles():
            commands = next(cut)
            read, cycles = _bound(config, single, commands, shapes)
            found.append(Alone(f"{one.layer}, {one.stage}", commands, cycles, is_window, read))
    return found


def _cut(commands: Iterable[Command]) -> Iterator[tuple[Command, ...]]:
    """The commands of each product with its drains, which need not wait for any other, nor add up what they write."""
    operands, beside, work = list[Command](), list[Command](), list[Command]()
    draining = False
    for command in commands:
        if isinstance(command, Load | Store):
            command = replace(command, after=0)
        if isinstance(command, Load):
            of_product = command.source in (Source.WEIGHTS, Source.ACTIVATIONS)
            (operands if of_product else beside).append(replace(command, beside=0))
        elif isinstance(command, Product):
            if work:
                yield (*work, Halt())
            work, operands = [*operands, command], []
        elif isinstance(command, Pass | Update):
            draining = isinstance(command, Pass) and bool(command.options & PassOption.FROM_SUMS)
            if draining and isinstance(command, Pass) and command.options & PassOption.BESIDE:
                command = replace(command, options=command.options & ~PassOption.BESIDE, groups=0, results=0)
            work += [*beside, command] if draining else []
            beside = []
        elif isinstance(command, Store) and draining and not isinstance(work[-1], Store):
            work.append(command)
    yield (*work, Halt())


def _bound(
    config: AcceleratorConfig, product: program.Product, commands: Iterable[Command], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int, int]:
    """Bytes that a product must read, and its bound in cycles."""
    size = config.storage_format.width // 8
    sizes = {Source.WEIGHTS: size * (1 if product.ratio.is_dense else 2), Source.ACTIVATIONS: size}
    views = {Source.WEIGHTS: product.weights, Source.ACTIVATIONS: product.activations}
    read = sum(sizes[source] * _different(view, shapes[view.region]) for source, view in views.items())
    elements = product.count * product.m * product.n
    written = 0
    for command in commands:
        if isinstance(command, Load | Store):
            bytes_each = 1 << command.walk.size_log2
            if isinstance(command, Store):
                written = elements * bytes_each
            elif command.source is Source.GATE:
                read += elements * bytes_each
            elif command.source is Source.FACTORS:
                read += product.m * bytes_each
    moved = max(read, written) / (config.axi_data_bytes * config.dram_channels)
    return read, ceil(max(product.macs / config.macs_per_cycle, moved))


def _different(view: program.MatrixView, shape: tuple[int, ...]) -> int:
    """Elements of a region that a view touches: along each axis, those that its loops reach."""
    count = 1
    for axis, size in enumerate(shape):
        places = {view.origin[axis]}
        for loop in (*view.each, *view.rows, *view.columns):
            if loop.axis == axis:
                places = {place + step * loop.step for place in places for step in range(loop.size)}
        count *= sum(0 <= place < size for place in places)
    return count
