"""A training step's cycles as a result object: a method beside dense training on the same accelerator, same counting."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from dataflow.assumptions import assumptions
from dataflow.bounds import bounds
from dataflow.energy import SOURCE, energy
from dataflow.exact import MachineResult, run_on_machine
from dataflow.jobs import Job, jobs
from dataflow.lower import lower
from dataflow.model import Result, run
from dataflow.network import Network
from dataflow.over_machine import over_machine
from dataflow.pins import Pins
from dataflow.program import Product, Program, Stage
from dataflow.techniques import ALL, Techniques
from dataflow.timeline import CAUSES, PRODUCT
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.ratio import DENSE, Ratios

GEMM = tuple(str(stage) for stage in Stage)
"""Stages that matrix products make up."""


@dataclass(frozen=True)
class StepRun:
    """A program and what it took."""

    program: Program
    jobs: tuple[Job, ...]
    result: Result | MachineResult
    config: AcceleratorConfig

    @property
    def is_exact(self) -> bool:
        """Whether the machine ran its commands, and not the step model its program."""
        return isinstance(self.result, MachineResult)

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


def estimate(
    network: Network,
    config: AcceleratorConfig,
    *,
    method: str,
    sparse_stages: frozenset[Stage],
    ratio: Ratios,
    batch: int,
    techniques: Techniques = ALL,
    pins: Pins | None = None,
    machine: bool = True,
) -> dict[str, Any]:
    """Estimate a training step; arguments as in `run_both`, the result as in `describe`."""
    sparse, dense = run_both(
        network,
        config,
        sparse_stages=sparse_stages,
        ratio=ratio,
        batch=batch,
        techniques=techniques,
        pins=pins,
        machine=machine,
    )
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
    machine: bool = True,
) -> tuple[StepRun, StepRun]:
    """Run a training step and its dense twin, on the machine if it can run both, else on the step model.

    Parameters
    ----------
    network, config, sparse_stages, ratio, batch
        As in `lower`.
    techniques
        As in `lower`, for the dense step as well.
    pins
        As in `lower`, for the step itself; its dense twin has the best schedule of its own.
    machine
        Whether the machine runs them where it can.
    """
    sparse = run_step(network, config, sparse_stages, ratio, batch, techniques=techniques, pins=pins)
    if not sparse.program.sparse_stages:
        [only] = _on_machine(network, sparse) if machine else [sparse]
        return only, only
    dense = run_step(network, config, frozenset(), DENSE, batch, techniques=techniques)
    if machine:
        sparse, dense = _on_machine(network, sparse, dense)
    return sparse, dense


def _on_machine(network: Network, *steps: StepRun) -> tuple[StepRun, ...]:
    """The steps with what the machine says of them, or as they are where it cannot run one."""
    try:
        return tuple(replace(step, result=run_on_machine(network, step.program, step.config)) for step in steps)
    except InputError:
        return steps


def describe(network: Network, sparse: StepRun, dense: StepRun, *, method: str) -> dict[str, Any]:
    """A step beside its dense twin as plain data, for JSON; cycles, bytes and joules are of one step of the whole batch.

    Parameters
    ----------
    network : Network
        What both train.
    sparse, dense : StepRun
        Of `run_both`.
    method : str
        What the result calls the set of sparse stages.
    """
    config, batch = sparse.config, sparse.program.batch
    return {
        "workload": network.name,
        "config": config.name,
        "method": method,
        "ratio": str(sparse.program.ratio),
        "batch": batch,
        **({"exact": True} if sparse.is_exact else {"estimated": True}),
        **({} if sparse.is_exact else {"over_machine": over_machine(network, sparse.program, config)}),
        **({"counters": sparse.result.counters} if isinstance(sparse.result, MachineResult) else {}),
        "assumptions": assumptions(config, exact=sparse.is_exact),
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
        "energy": _energy(sparse, dense),
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
    **given: Any,  # noqa: ANN401 (as `lower` has it)
) -> StepRun:
    """Lower a step and run it on the model; further arguments as in `lower`."""
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=stages, **given)
    return StepRun(program, tuple(jobs(config, program)), run(program, config), config)


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


def _energy(sparse: StepRun, dense: StepRun) -> dict[str, Any]:
    """Joules of both steps, by a published table."""
    joules, dense_joules = (energy(step.config, step.program, step.jobs, step.result.memory_bytes) for step in (sparse, dense))
    seconds = sparse.result.cycles / sparse.config.clock_hz
    return {
        "estimated": True,
        "source": SOURCE,
        "joules": joules,
        "dense_joules": dense_joules,
        "images_per_joule": sparse.program.batch / joules["step"],
        "effective_gops_per_watt": 2 * dense.macs / joules["step"] / 1e9,
        "average_watts": joules["step"] / seconds,
    }


def _layers(sparse: StepRun, dense: StepRun) -> Iterator[dict[str, Any]]:
    """One row a layer and stage, in order of execution; the phases of a strided input gradient are one row."""
    dense_rows = {(row["name"], row["stage"]): row for row in _rows(dense)}
    for row in _rows(sparse):
        beside = dense_rows[row["name"], row["stage"]]
        yield row | {f"dense_{key}": beside[key] for key in ("cycles", "macs", "memory_bytes", "utilization")}


def _rows(step: StepRun) -> Iterator[dict[str, Any]]:
    spans = step.result.timeline.by_product()
    costs = {(job.layer, job.stage): job for job in step.jobs if job.unit == "array"}
    for key, group in groupby(step.program.products, key=lambda product: (product.layer, product.stage)):
        products = tuple(group)
        causes, job = spans[key], costs[key]
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
            "memory_bytes": _bytes(step, job),
            "utilization": macs / cycles / step.config.macs_per_cycle,
            "order": products[0].order,
            "split": products[0].split,
            "repeats": products[0].count,
            "dataflow": str(products[0].dataflow),
            "interleave": "x".join(map(str, products[0].interleave)),
        }


def _bytes(step: StepRun, job: Job) -> int:
    """Traffic of a product: counted where the machine ran it."""
    if isinstance(step.result, MachineResult):
        return step.result.bytes_of[job.layer, job.stage]
    return sum(plan.load_bytes for _, plan in job.products) + job.cost.bytes


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
