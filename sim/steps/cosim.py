"""Training steps on the RTL: every product of a step, on its real operands, by NumPy, the cycle model and the Verilog."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import MatrixView, Product, Program
from dataflow.ir.views import gather
from dataflow.lowering.lower import lower
from dataflow.scheduling.array import ArrayUnit
from hw.config import AcceleratorConfig
from hw.errors import InputError
from sim.rtl.gemm import reference
from sim.rtl.player import Operands
from sim.rtl.products import Played, play_products
from training.backend import ExactBackend
from training.data import Data
from training.model import Model
from training.nm import Packed
from training.numbers import to_bits
from training.optimiser import Optimiser
from training.step import training_step

LEARNING_RATE = 0.01
"""Of the steps that are checked: small, because they follow a finished training."""

Image = dict[str, Any]
"""The memory image: arrays, or `Packed` weights, by the program's region names."""


@dataclass(frozen=True)
class StepCheck:
    """One step's products by three executors.

    Parameters
    ----------
    program : Program
        The step.
    rows : list of dict
        For each product ``layer``, ``stage``, ``ratio``, ``m``, ``n``, ``k``, ``macs``, ``words_compared``,
        ``words_different``, and the cycles from the previous product's last word to its own, ``rtl_cycles`` and
        ``model_cycles``, which add up to the step's.
    seconds : float
        Wall time of the RTL simulation.
    """

    program: Program
    rows: list[dict[str, Any]]
    seconds: float


def check_steps(
    config: AcceleratorConfig,
    model: Model,
    data: Data,
    optimiser: Optimiser,
    *,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    progress: Callable[[int, str], None] = lambda step, what: None,
) -> Iterator[StepCheck]:
    """Train for `steps` more steps in exact arithmetic and run each one's products on the RTL.

    Parameters
    ----------
    config : AcceleratorConfig
        What the RTL is built from.
    model : Model
        A trained one; it goes on training.
    data : Data
        Batches are drawn from its training images by `rng`.
    optimiser : Optimiser
        Updates the weights between the steps.
    steps, batch : int
        How many steps of how many images, at least 1 each.
    progress : callable
        Told the step and what happens in it.

    Raises
    ------
    InputError
        Where steps or batch are out of range, or a layer cannot be scheduled.
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    if batch > len(data.train_labels):
        raise InputError(f"batch must be at most the {len(data.train_labels)} training images, not {batch}")
    model.set_backend(ExactBackend(config.storage_format))
    program = lower(model.network, config, batch=batch, ratio=model.ratio, sparse_stages=model.method.sparse_stages)
    for step in range(steps):
        progress(step, "training step in NumPy")
        chosen = rng.choice(len(data.train_labels), batch, replace=False)
        image: Image = {}
        training_step(model, optimiser, data.train_images[chosen], data.train_labels[chosen], LEARNING_RATE, image)
        operands = [load_operands(config, product, image) for product in singles(program)]
        progress(step, f"{len(operands)} products on the RTL")
        yield check(config, program, image, operands, play_products(config, operands))


def check(
    config: AcceleratorConfig, program: Program, image: Mapping[str, Any], operands: list[Operands], played: Played
) -> StepCheck:
    """Compare what the RTL played with NumPy, product by product and with what the trainer itself worked with."""
    finished = ArrayUnit(config, [one.tile(config) for one in operands]).run()
    measured, predicted = np.diff(played.cycles, prepend=0), np.diff(finished, prepend=0)
    rows = []
    for product, one, result, rtl, model in zip(singles(program), operands, played.results, measured, predicted, strict=True):
        # What the program's views read must give NumPy's bits, and they must be what the trainer itself worked with.
        expected = bits(reference(config, one))
        trained = bits(gather(product.output, image[product.output.region]))
        different = (bits(result) != expected) | (bits(result) != trained)
        rows.append(
            {
                "layer": product.layer,
                "stage": str(product.stage),
                "ratio": str(product.ratio),
                "m": product.m,
                "n": product.n,
                "k": product.k,
                "macs": product.macs,
                "words_compared": expected.size,
                "words_different": int(np.count_nonzero(different)),
                "rtl_cycles": int(rtl),
                "model_cycles": int(model),
            }
        )
    return StepCheck(program, rows, played.seconds)


def singles(program: Program) -> list[Product]:
    """The program's products, those of a batch one by one."""
    return [single for product in program.products for single in product.singles()]


def load_operands(config: AcceleratorConfig, product: Product, image: Mapping[str, Any]) -> Operands:
    """Read a product's operands from the memory image through its views."""
    weights, indices = image[product.weights.region], None
    if isinstance(weights, Packed):
        indices = gather(product.weights, weights.indices).astype(np.uint8)
        weights = weights.values
    return Operands(
        product.ratio,
        _bits(config, product.weights, weights),
        indices,
        _bits(config, product.activations, image[product.activations.region]),
        product.interleave,
        product.dataflow,
    )


def bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bits of binary32 values."""
    return values.astype(np.float32).view(np.uint32)


def summary(checks: list[StepCheck]) -> dict[str, Any]:
    """What ``cosim.json`` holds: totals over the steps, and each product's row."""
    rows = [row for one in checks for row in one.rows]
    cycles = sum(row["rtl_cycles"] for row in rows)
    return {
        "steps": len(checks),
        "commands": len(rows),
        "words_compared": sum(row["words_compared"] for row in rows),
        "words_different": sum(row["words_different"] for row in rows),
        "rtl_cycles": cycles,
        "model_cycles": sum(row["model_cycles"] for row in rows),
        "cycles_equal": all(row["rtl_cycles"] == row["model_cycles"] for row in rows),
        "rtl_cycles_per_second": cycles / sum(one.seconds for one in checks),
        "products": rows,
    }


def _bits(config: AcceleratorConfig, view: MatrixView, array: NDArray) -> NDArray[np.uint16]:
    return to_bits(gather(view, array), config.storage_format).astype(np.uint16)
