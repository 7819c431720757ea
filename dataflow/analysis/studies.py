"""One question asked of several networks: how fast, what a technique is worth, what a ratio gives, where memory limits."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

from dataflow.analysis.report import StepRun, run_step
from dataflow.ir.stages import Stage
from dataflow.ir.techniques import ALL, NAMES, Techniques, without
from dataflow.network import Network
from hw.config import AcceleratorConfig
from hw.ratio import DENSE, Ratio

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})

METHODS: dict[str, frozenset[Stage]] = {
    "dense": frozenset(),
    "srste": frozenset({Stage.FORWARD}),
    "sdgp": frozenset({Stage.INPUT_GRADIENT}),
    "sdwp": frozenset({Stage.INPUT_GRADIENT}),
    "bdwp": BOTH,
}
"""Sparse stages of the methods that are compared."""

NOTES = {
    "sdgp": (
        "SDGP is counted as SDWP is: selecting among gradients as they are made, and rescaling them, costs it nothing here,"
        " so that its speedup is an upper bound."
    )
}
"""What is not counted of a method, for its readers."""

RATIOS = (Ratio(2, 4), Ratio(2, 8), Ratio(2, 16))
CHANNEL_BYTES_PER_SECOND = (4.8e9, 9.6e9, 19.2e9, 38.4e9, 76.8e9)
BATCHES = (1, 8, 64, 512)


def headline(networks: Sequence[Network], config: AcceleratorConfig, *, ratio: Ratio, batch: int) -> Iterator[dict[str, Any]]:
    """A BDWP step beside the dense one: speedups with their ideal, use of the array in products, images a second."""
    for network in networks:
        dense, step = run_step(network, config, frozenset(), DENSE, batch), _sparse(network, config, ratio, batch, ALL)
        yield {
            "workload": network.name,
            "dense_cycles": dense.result.cycles,
            "cycles": step.result.cycles,
            **_speedups(dense, step),
            "dense_gemm_utilization": _gemm_utilization(dense),
            "gemm_utilization": _gemm_utilization(step),
            "dense_images_per_second": batch * config.clock_hz / dense.result.cycles,
            "images_per_second": batch * config.clock_hz / step.result.cycles,
        }


def ablation(networks: Sequence[Network], config: AcceleratorConfig, *, ratio: Ratio, batch: int) -> Iterator[dict[str, Any]]:
    """A BDWP step with all techniques, and without each in turn; cycles over those with all are what one is worth."""
    for network in networks:
        step = _sparse(network, config, ratio, batch, ALL)
        row: dict[str, Any] = {"workload": network.name, "cycles": step.result.cycles}
        for name in NAMES:
            row[f"cycles_without_{name}"] = _sparse(network, config, ratio, batch, without(name)).result.cycles
            row[f"worth_{name}"] = row[f"cycles_without_{name}"] / row["cycles"]
        yield row


def ratios(networks: Sequence[Network], config: AcceleratorConfig, *, batch: int) -> Iterator[dict[str, Any]]:
    """Speedups of every method at every ratio over dense, each beside the ideal that its multiply-accumulates allow."""
    for network in networks:
        dense = run_step(network, config, frozenset(), DENSE, batch)
        known: dict[tuple[frozenset[Stage], Ratio], StepRun] = {}
        for (method, stages), ratio in product(METHODS.items(), RATIOS):
            if not stages and ratio is not RATIOS[0]:
                continue
            step = known.get((stages, ratio)) or (run_step(network, config, stages, ratio, batch) if stages else dense)
            known[stages, ratio] = step
            yield {
                "workload": network.name,
                "method": method,
                "ratio": str(ratio) if stages else "dense",
                "cycles": step.result.cycles,
                **_speedups(dense, step),
                "gemm_utilization": _gemm_utilization(step),
            }


def bandwidth(network: Network, config: AcceleratorConfig, *, ratio: Ratio, batch: int) -> Iterator[dict[str, Any]]:
    """Dense and BDWP steps at each memory bandwidth that the accelerator's ports can carry."""
    for rate in CHANNEL_BYTES_PER_SECOND:
        channels = next((count for count in (1, 2, 4) if rate <= count * config.port_bytes_per_second), None)
        if channels is None:
            continue
        machine = replace(config, dram_channels=channels, dram_channel_bytes_per_second=rate / channels)
        yield {"bytes_per_second": rate, **_point(network, machine, ratio, batch)}


def batches(network: Network, config: AcceleratorConfig, *, ratio: Ratio) -> Iterator[dict[str, Any]]:
    """Dense and BDWP steps at each batch."""
    for batch in BATCHES:
        yield {"batch": batch, **_point(network, config, ratio, batch)}


def memory_bound_below(points: Sequence[dict[str, Any]], prefix: str = "", over: str = "bytes_per_second") -> float | None:
    """Where memory is busy for longer than the array: below which bandwidth or `over` what else, None if nowhere.

    Between points by interpolation, on a logarithmic axis.
    """
    shares = [(point[over], point[f"{prefix}memory_share"] / point[f"{prefix}array_share"]) for point in points]
    for (low, more), (high, less) in pairwise(shares):
        if more > 1 >= less:
            return float(low * (high / low) ** ((more - 1) / (more - less)))
    return None


def _speedups(dense: StepRun, step: StepRun) -> dict[str, float]:
    """By multiply-accumulates alone, of the matrix products, of the whole step."""
    return {
        "ideal": dense.macs / step.macs,
        "gemm": dense.gemm_cycles / step.gemm_cycles,
        "step": dense.result.cycles / step.result.cycles,
    }


def _gemm_utilization(step: StepRun) -> float:
    return step.macs / step.config.macs_per_cycle / step.gemm_cycles


def _sparse(network: Network, config: AcceleratorConfig, ratio: Ratio, batch: int, techniques: Techniques) -> StepRun:
    return run_step(network, config, BOTH, ratio, batch, techniques=techniques)


def _point(network: Network, config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for prefix, stages, kept in (("dense_", frozenset[Stage](), DENSE), ("", BOTH, ratio)):
        step = run_step(network, config, stages, kept, batch)
        point[f"{prefix}images_per_second"] = batch * config.clock_hz / step.result.cycles
        for unit in ("memory", "array"):
            point[f"{prefix}{unit}_share"] = step.result.busy[unit] / step.result.cycles
    return point | {"step": point["images_per_second"] / point["dense_images_per_second"]}
