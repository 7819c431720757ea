"""The machine: speedups and utilisation of the five networks, and what a report costs to make."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from bench import Figure
from bench.machine import BATCH, CONFIG, RATIO, cold
from dataflow import zoo
from dataflow.analysis import studies
from dataflow.analysis.report import report
from dataflow.ir.techniques import NAMES

FIVE = ("resnet9", "vit", "vgg19", "resnet18", "resnet50")
WHERE = f"{CONFIG.name}, bdwp {RATIO}, batch {BATCH}"


def figures() -> Iterator[Figure]:
    """All of them."""
    yield from _commands()
    yield from _growth()
    yield from _networks()
    yield from _techniques()


def _command(environment: dict[str, str], name: str, batch: int = BATCH) -> tuple[float, float]:
    """Processor seconds and MB of ``nmtrain report NAME --json`` as a process of its own."""
    script = f"from sim.cli import main; main(['report', '{name}', '--batch', '{batch}', '--json'])"
    measured = f"import resource, subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True, stdout=-3)"
    peak = "; used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    command = [sys.executable, "-c", measured + peak]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    processor, kilobytes = done.stdout.split()
    return float(processor), int(kilobytes) / 1024


def _commands() -> Iterator[Figure]:
    """Whole processes, without plots, when nothing is known yet and when all is."""
    targets = {"resnet18": "<= 15", "resnet50": "<= 90"}
    for name in FIVE:
        with TemporaryDirectory() as folder:
            environment = cold(Path(folder))
            seconds, megabytes = _command(environment, name)
            again = min(_command(environment, name)[0] for _ in range(2))
        yield Figure(f"report {name}, processor time", seconds, "s", WHERE, targets.get(name, ""))
        yield Figure(f"report {name} from the cache, processor time", again, "s", WHERE, "<= 1.5")
        yield Figure(f"report {name}, peak memory", megabytes, "MB", WHERE, "<= 300")


def _growth() -> Iterator[Figure]:
    """Processor time and memory do not follow the batch."""
    found = []
    for batch in (64, 2048):
        with TemporaryDirectory() as folder:
            found.append(_command(cold(Path(folder)), "resnet18", batch))
    for what, (few, many) in zip(("processor time", "memory"), zip(*found, strict=True), strict=True):
        yield Figure(f"report resnet18, {what}, batch 2048 over batch 64", many / few, "ratio", CONFIG.name, "<= 2")


def _networks() -> Iterator[Figure]:
    """Speedups and utilisation, each and in the mean."""
    results: list[dict[str, Any]] = [
        report(zoo.load(name), CONFIG, method="bdwp", sparse_stages=studies.BOTH, ratio=RATIO, batch=BATCH) for name in FIVE
    ]
    means = (
        ("speedup, matrix products", "speedup_over_dense", "gemm", "ratio", ">= 1.90"),
        ("speedup, whole step", "speedup_over_dense", "step", "ratio", ">= 1.75"),
        ("speedup that multiply-accumulates allow", "speedup_over_dense", "ideal", "ratio", ""),
        ("array utilisation in products, dense", "dense_utilization", "gemm", "share", ">= 0.95"),
        ("array utilisation in products, sparse", "utilization", "gemm", "share", ">= 0.92"),
    )
    for title, key, part, unit, target in means:
        for result in results:
            yield Figure(f"{title}, {result['workload']}", result[key][part], unit, WHERE)
        yield Figure(f"{title}, mean of five", fmean(result[key][part] for result in results), unit, WHERE, target)


def _techniques() -> Iterator[Figure]:
    """Cycles without each technique over cycles with all."""
    for row in studies.ablation([zoo.load(name) for name in FIVE], CONFIG, ratio=RATIO, batch=BATCH):
        for name in NAMES:
            yield Figure(f"cycles without {name}, {row['workload']}", row[f"worth_{name}"], "ratio", WHERE)
