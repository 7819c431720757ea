"""The SimPy machine: how many cycles it steps a second, how many it has to, and that skipping changes none."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench import Figure
from dataflow import zoo
from dataflow.analysis import studies
from dataflow.analysis.exact import RATES
from dataflow.compile.assemble import assemble
from dataflow.lowering.lower import lower
from dataflow.machine import native
from dataflow.machine.executor import execute
from dataflow.machine.known import known
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.stress.random_programs import both_ways, random_programs

CONFIG, RATIO = PRESETS["vcu1525"], Ratio(2, 8)
BATCH = 512
STEPS = 500
"""Random steps, of two programs each."""
TARGETS = {"forward": 3, "input_gradient": 3, "weight_gradient": 5, "vector": 1, "update": 1}
"""Percent of the cycles of each kind of command that may be stepped."""


def figures() -> Iterator[Figure]:
    """All of them."""
    yield from _rates()
    yield from _skipping()
    yield from _stepped("resnet18")
    yield from _stepped("resnet50")


def _rates() -> Iterator[Figure]:
    """Cycles of the forward program of a batch of one, all of them stepped, a second of processor time."""
    config, network = CONFIG, zoo.load("resnet18")
    commands = assemble(network, lower(network, config, batch=1, ratio=RATIO), config, RATES).forward
    native.loaded()  # compiled and loaded
    start = time.process_time()
    cycles = execute(config, commands, Memory.of(config), skip=False).cycles
    rate = cycles / (time.process_time() - start)
    yield Figure(
        "machine without skipping", rate, "cycles/s", f"{CONFIG.name}, resnet18 forward, bdwp {RATIO}, batch 1", ">= 500000"
    )


def _skipping() -> Iterator[Figure]:
    """Random programs with and without skipping: cycles, all counters, and when each result is complete."""
    different = programs = 0
    for seed in range(STEPS):
        config, found, memory = random_programs(seed)
        for commands in found:
            skipped, stepped = both_ways(config, commands, memory)
            moments = [[moment[:-1] for moment in one.moments] for one in (skipped, stepped)]
            different += skipped != stepped or moments[0] != moments[1]
            programs += 1
    yield Figure("random programs with a difference by skipping", different, f"of {programs}", "both dataflows", "<= 0")


def _stepped(name: str) -> Iterator[Figure]:
    """Of the cycles until each result is complete, those that were not skipped, by what completes."""
    network = zoo.load(name)
    assembled = assemble(network, lower(network, CONFIG, batch=BATCH, ratio=RATIO, sparse_stages=studies.BOTH), CONFIG, RATES)
    cycles, stepped = defaultdict[str, int](int), defaultdict[str, int](int)
    for commands, operations in zip((assembled.forward, assembled.backward), assembled.origins, strict=True):
        cycle = step = 0
        for moment, operation in zip(known(CONFIG, commands, Memory.of(CONFIG)).moments, operations, strict=True):
            kind = operation.stage.value if operation.kind == "product" else operation.kind
            cycles[kind] += moment.cycle - cycle
            stepped[kind] += moment.stepped - step
            cycle, step = moment.cycle, moment.stepped
    where = f"{CONFIG.name}, bdwp {RATIO}, batch {BATCH}"
    for kind, most in TARGETS.items():
        yield Figure(f"stepped cycles of {name}, {kind}", 100 * stepped[kind] / cycles[kind], "%", where, f"<= {most}")
    share = 100 * sum(stepped.values()) / sum(cycles.values())
    yield Figure(f"stepped cycles of {name}, all of {sum(cycles.values()):,}", share, "%", where)


def cold(folder: Path) -> dict[str, str]:
    """An environment in which nothing is known yet but the compiled machine."""
    made = native.make().parent
    (folder / made.name).symlink_to(made)
    return os.environ | {"NMTRAIN_CACHE": str(folder)}
