"""The machine: speedups and utilisation of the five networks, and what a report costs to make."""

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from bench import Figure
from dataflow import studies, zoo
from dataflow.report import report
from dataflow.techniques import NAMES
from hw.config import PRESETS
from hw.ratio import Ratio

FIVE = ("resnet9", "vit", "vgg19", "resnet18", "resnet50")
CONFIG, RATIO, BATCH = PRESETS["vcu1525"], Ratio(2, 8), 512
WHERE = f"{CONFIG.name}, bdwp {RATIO}, batch {BATCH}"


def figures() -> Iterator[Figure]:
    """All of them."""
    yield from _commands()
    yield from _growth()
    yield from _networks()
    yield from _techniques()


def _command(name: str, batch: int = BATCH) -> tuple[float, float, float]:
    """Seconds, processor seconds and MB of ``nmtrain report NAME --json`` as a process of its own."""
    script = f"from sim.cli import main; main(['report', '{name}', '--batch', '{batch}', '--json'])"
    measured = f"import resource, subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True, stdout=-3)"
    peak = "; used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", measured + peak], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    processor, kilobytes = done.stdout.split()
    return seconds, float(processor), int(kilobytes) / 1024


def _commands() -> Iterator[Figure]:
    """Whole processes, without plots; the best of three runs, because other work on the machine only adds."""
    for name in FIVE:
        runs = [_command(name) for _ in range(3)]
        seconds, processor, megabytes = min(run[0] for run in runs), min(run[1] for run in runs), max(run[2] for run in runs)
        yield Figure(f"report {name}, whole process", seconds, "s", WHERE, "<= 2" if name == "resnet18" else "<= 3")
        yield Figure(f"report {name}, processor time", processor, "s", WHERE)
        if name == "resnet18":
            yield Figure(f"report {name}, peak memory", megabytes, "MB", WHERE, "<= 400")


def _growth() -> Iterator[Figure]:
    """Processor time does not follow the batch."""
    seconds = [min(_command("resnet18", batch)[1] for _ in range(2)) for batch in (1, 4096)]
    yield Figure("report resnet18, batch 4096 over batch 1", seconds[1] / seconds[0], "ratio", CONFIG.name, "<= 2")


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
