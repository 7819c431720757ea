"""A training step as a result object: a method beside dense training on the same accelerator, both cycle by cycle."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from dataflow.analysis.assumptions import assumptions
from dataflow.analysis.bounds import bounds
from dataflow.analysis.energy import HOROWITZ, Table, as_rows, joules, terms
from dataflow.analysis.exact import RATES, MachineResult, run_on_machine
from dataflow.analysis.timeline import CAUSES, PRODUCT
from dataflow.compile.updates import Rates
from dataflow.ir.program import Product, Program, Stage
from dataflow.ir.techniques import ALL, Techniques
from dataflow.lowering.lower import lower
from dataflow.network import Network
from dataflow.scheduling.pins import Pins
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.ratio import DENSE, Ratios

GEMM = tuple(str(stage) for stage in Stage)
"""Stages that matrix products make up."""

Said = Callable[[str], None]
"""Told what is being done."""


MOST_SAMPLES = 1 << 16
"""Of a step that is reported on: a small network's bounds are low at any batch, and its cycles still take their time."""
MOST_WEIGHTS = 1 << 27
"""Of a network, five times what the largest one of the evaluation has: updates are stepped piece by piece."""
MOST_PRODUCTS = 4096
"""Of a step, ten times what the largest network of the evaluation has: each becomes some ten commands."""
MOST_CYCLES = 20_000_000_000
"""Of a step: three times what the largest network of the evaluation takes at batch 512."""


@dataclass(frozen=True)
class StepRun:
    """A program and what it took on the machine."""

    program: Program
    result: MachineResult
    config: AcceleratorConfig

    @cached_property
    def cycles(self) -> dict[str, int]:
        """Cycles of the step, of each stage and of each other cause."""
        return {"step": self.result.cycles, **self.result.timeline.by_stage()}

    @property
    def gemm_cycles(self) -> int:
        """Cycles of matrix products, filling, draining and waiting for memory included."""
        return sum(self.cycles[stage] for stage in GEMM)

    @property
    def macs(self) -> int:
        """Multiply-accumulates that the step performs."""
        return sum(product.macs for product in self.program.products)


def report(
    network: Network,
    config: AcceleratorConfig,
    *,
    method: str,
    sparse_stages: frozenset[Stage],
    ratio: Ratios,
    batch: int,
    techniques: Techniques = ALL,
    pins: Pins | None = None,
) -> dict[str, Any]:
    """Run a training step; arguments as in `run_both`, the result as in `describe`."""
    given: dict[str, Any] = {"sparse_stages": sparse_stages, "ratio": ratio, "batch": batch}
    sparse, dense = run_both(network, config, techniques=techniques, pins=pins, **given)
    return describe(network, sparse, dense, method=method)


def run_both(
    network: Network,
    config: AcceleratorConfig,
    *,
    sparse_stages: frozenset[Stage],
    ratio: Ratios,
    batch: int,
    techniques: Techniques = ALL,
    pins: Pins | None = None,
    rates: Rates = RATES,
    said: Said = lambda text: None,
) -> tuple[StepRun, StepRun]:
    """Run a training step and its dense twin on the machine.

    Parameters
    ----------
    network, config, sparse_stages, ratio, batch
        As in `lower`.
    techniques
        As in `lower`, for the dense step as well.
    pins
        As in `lower`, for the step itself; its dense twin has the best schedule of its own.
    rates
        `dataflow.analysis.exact.RATES` of SGD, or `dataflow.analysis.exact.ADAMW_RATES`.
    said
        Told what is being run.

    Raises
    ------
    InputError
        Where the accelerator cannot be built, or cannot do what the step asks.
    """
    said(f"running a step of {network.name}")
    sparse = run_step(network, config, sparse_stages, ratio, batch, rates=rates, techniques=techniques, pins=pins)
    if not sparse.program.sparse_stages:
        return sparse, sparse
    said(f"running a dense step of {network.name}")
    return sparse, run_step(network, config, frozenset(), DENSE, batch, rates=rates, techniques=techniques)


def describe(network: Network, sparse: StepRun, dense: StepRun, *, method: str, table: Table = HOROWITZ) -> dict[str, Any]:
    """A step beside its dense twin as plain data, for JSON; cycles, bytes and joules are of one step of the whole batch.

    Parameters
    ----------
    network : Network
        What both train.
    sparse, dense : StepRun
        Of `run_both`.
    method : str
        What the result calls the set of sparse stages.
    table : Table
        Of energies.
    """
    config, batch = sparse.config, sparse.program.batch
    return {
        "workload": network.name,
        "config": config.name,
        "method": method,
        "ratio": str(sparse.program.ratio),
        "batch": batch,
        "exact": True,
        "program": sparse.result.program,
        "counters": sparse.result.counters,
        "assumptions": assumptions(config, table),
        "techniques": asdict(sparse.program.techniques),
        "accelerator": _machine(config),
        "network": {
            "parameters": network.parameters,
            "forward_macs_per_image": network.forward_macs,
            "input_shape": list(network.input_shape),
            "classes": network.classes,
        },
        "sparse_stages": sorted(sparse.program.sparse_stages),
        "cycles": sparse.cycles,
        "dense_cycles": dense.cycles,
        "breakdown": sparse.result.timeline.by_cause(),
        "dense_breakdown": dense.result.timeline.by_cause(),
        "speedup_over_dense": {
            "gemm": dense.gemm_cycles / sparse.gemm_cycles,
            "step": dense.result.cycles / sparse.result.cycles,
            "ideal": dense.macs / sparse.macs,
        },
        "utilization": _utilization(sparse),
        "dense_utilization": _utilization(dense),
        "throughput": _throughput(sparse, dense, batch),
        "energy": _energy(sparse, dense, table),
        "memory_bytes": {"step": sparse.result.memory_bytes, "dense_step": dense.result.memory_bytes},
        "busy_cycles": sparse.result.busy,
        "bound_cycles": bounds(sparse.program, config),
        "layers": list(_layers(sparse, dense)),
    }


def run_step(
    network: Network,
    config: AcceleratorConfig,
    stages: frozenset[Stage],
    ratio: Ratios,
    batch: int,
    rates: Rates = RATES,
    **given: Any,  # noqa: ANN401 (as `lower` has it)
) -> StepRun:
    """Lower a step and run it on the machine; further arguments as in `lower`.

    Raises
    ------
    InputError
        Where it cannot be run, has more than `MOST_SAMPLES`, `MOST_WEIGHTS` or `MOST_PRODUCTS`, or its bounds alone are more
        than `MOST_CYCLES`.
    """
    if batch > MOST_SAMPLES:
        raise InputError(f"batch {batch} is too large for a report: at most {MOST_SAMPLES:,}")
    if network.parameters > MOST_WEIGHTS:
        raise InputError(
            f"network {network.name!r} has {network.parameters:,} weights, which is too large for a report: at most"
            f" {MOST_WEIGHTS:,}"
        )
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=stages, **given)
    if len(program.products) > MOST_PRODUCTS:
        raise InputError(
            f"network {network.name!r} has {len(program.products):,} matrix products in a step, each phase of a stride counted,"
            f" which is too large for a report: at most {MOST_PRODUCTS:,}"
        )
    least = max(bounds(program, config).values())
    if least > MOST_CYCLES:
        raise InputError(
            f"network {network.name!r} at batch {batch} takes {config.name} at least {least:,} cycles, which is too large:"
            f" at most {MOST_CYCLES:,}"
        )
    return StepRun(program, run_on_machine(network, program, config, rates), config)


def _utilization(step: StepRun) -> dict[str, float]:
    """Useful multiply-accumulates over what the array could have done in the time."""
    ideal = step.macs / step.config.macs_per_cycle
    return {
        "array": ideal / step.result.busy["array"],
        "gemm": ideal / step.gemm_cycles,
        "step": ideal / step.result.cycles,
    }


def _throughput(sparse: StepRun, dense: StepRun, batch: int) -> dict[str, float]:
    seconds = sparse.result.cycles / sparse.config.clock_hz
    return {
        "step_seconds": seconds,
        "images_per_second": batch / seconds,
        "dense_images_per_second": batch * sparse.config.clock_hz / dense.result.cycles,
        "effective_gops": 2 * dense.macs / seconds / 1e9,
        "executed_gops": 2 * sparse.macs / seconds / 1e9,
        "peak_gops": 2 * sparse.config.macs_per_cycle * sparse.config.clock_hz / 1e9,
    }


def _energy(sparse: StepRun, dense: StepRun, table: Table) -> dict[str, Any]:
    """Joules of both steps, and of which counts and constants they are."""
    parts, dense_parts = (
        terms(step.config, step.macs, step.result.work, step.result.memory_bytes, table) for step in (sparse, dense)
    )
    spent = joules(parts)
    return {
        "estimated": True,
        "source": table.source,
        "joules": spent,
        "dense_joules": joules(dense_parts),
        "terms": as_rows(parts),
        "images_per_joule": sparse.program.batch / spent["step"],
        "effective_gops_per_watt": 2 * dense.macs / spent["step"] / 1e9,
        "average_watts": spent["step"] * sparse.config.clock_hz / sparse.result.cycles,
    }


def _layers(sparse: StepRun, dense: StepRun) -> Iterator[dict[str, Any]]:
    """One row a layer and stage, in order of execution; the phases of a strided input gradient are one row."""
    dense_rows = {(row["name"], row["stage"]): row for row in _rows(dense)}
    for row in _rows(sparse):
        beside = dense_rows[row["name"], row["stage"]]
        yield row | {f"dense_{key}": beside[key] for key in ("cycles", "macs", "memory_bytes", "utilization")}


def _rows(step: StepRun) -> Iterator[dict[str, Any]]:
    spans = step.result.timeline.by_product()
    for key, group in groupby(step.program.products, key=lambda product: (product.layer, product.stage)):
        products = tuple(group)
        causes, plan = spans[key], step.result.plans[key]
        cycles = sum(causes[cause] for cause in PRODUCT)
        macs = sum(product.macs for product in products)
        yield {
            "name": key[0],
            "stage": str(key[1]),
            "ratio": str(products[0].ratio),
            "products": len(products),
            **_shape(products),
            "cycles": cycles,
            "compute_cycles": causes["compute"],
            "fill_drain_cycles": causes["fill_drain"],
            "operand_stall_cycles": causes["operands"],
            "memory_stall_cycles": causes["memory"],
            "waiting_cycles": sum(causes[cause] for cause in CAUSES if cause not in PRODUCT),
            "macs": macs,
            "memory_bytes": step.result.bytes_of[key],
            "utilization": macs / cycles / step.config.macs_per_cycle,
            "order": plan.order,
            "split": plan.split,
            "repeats": products[0].count,
            "dataflow": str(products[0].dataflow),
            "interleave": "x".join(map(str, products[0].interleave)),
        }


def _shape(products: tuple[Product, ...]) -> dict[str, int | float]:
    """Of phases together: all output columns, and the mean reduction."""
    n = sum(product.n for product in products)
    k, kept = (sum(getattr(product, name) * product.n for product in products) / n for name in ("k", "kept"))
    return {"m": products[0].m, "n": n, "k": _whole(k), "kept": _whole(kept)}


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)


def _machine(config: AcceleratorConfig) -> dict[str, Any]:
    """An accelerator as JSON: its fields, and what follows of them for its memory."""
    rates = {"dram_channel_bytes_per_second": config.channel_bytes_per_second}
    return asdict(config) | rates | {"dram_bytes_per_cycle": config.dram_bytes_per_cycle}
