"""The trainer: its step against PyTorch's, what selection and packing cost, products bit for bit, data loading.

PyTorch is optional. Where it is installed beside the project, both steps run in turn in one process, and the ratio of the
medians counts; else only the trainer's own figures are given.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench import Figure
from dataflow import zoo
from hw.formats import BINARY32
from hw.ratio import DENSE, Ratio
from training import exact, methods
from training.backend import FastBackend
from training.layers.weighted import Weighted
from training.model import Model
from training.nm import pack
from training.optimiser import Sgd
from training.readers.augment import CropAndFlip
from training.readers.cifar import NORMALISE_10
from training.step import training_step

BATCH, THREADS, ROUNDS = 64, 2, 5
CONFIGURATION = "resnet9, batch 64, fast mode, binary32, 2 threads"
SPARSE = Ratio(2, 8)


def figures() -> Iterator[Figure]:
    """All of them."""
    steps = [our_step(), packing()]
    if find_spec("torch"):
        steps.append(torch_step())
    with threadpool_limits(1, user_api="blas"):
        seconds = alternate(steps)
    yield Figure("training step", seconds[0], "s", CONFIGURATION)
    if find_spec("torch"):
        yield Figure("training step against PyTorch", seconds[0] / seconds[2], "ratio", CONFIGURATION, "<= 1.5")
        ours, theirs = (_peak_bytes(name) for name in ("our_step", "torch_step"))
        yield Figure("memory of training against PyTorch", ours / theirs, "ratio", CONFIGURATION, "<= 2")
        yield from _default_steps()
    share = seconds[1] / seconds[0]
    yield Figure("selection and packing of both copies", 100 * share, "% of the step", f"{CONFIGURATION}, 2:8", "<= 5")
    yield _exact()
    yield _loading(seconds[0])


def _default_steps() -> Iterator[Figure]:
    """What a user gets who asks for nothing: binary16, one thread; and the method that samples gradients."""
    with threadpool_limits(1, user_api="blas"):
        theirs, dense, sampled = alternate([lone_torch_step(), default_step(), sampled_step()])
    configuration = "resnet9, batch 64, fast mode, binary16, 1 thread"
    yield Figure("default training step against PyTorch", dense / theirs, "ratio", configuration, "<= 1.5")
    yield Figure("BDWP-MVUE's training step against PyTorch", sampled / theirs, "ratio", f"{configuration}, 2:8", "<= 2.2")
    memory = _peak_bytes("sampled_step") / _peak_bytes("lone_torch_step")
    yield Figure("memory of BDWP-MVUE's training against PyTorch", memory, "ratio", f"{configuration}, 2:8", "<= 1.2")


def alternate(steps: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each, run in turn so that whatever else the machine does meets all of them, the first one aside."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS + 1):
        for step, taken in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    return [median(taken[1:]) for taken in seconds]


def our_step() -> Callable[[], object]:
    """A dense step of the trainer on images that stay the same."""
    model, optimiser = _model("dense", DENSE), Sgd()
    images, labels = _batch()
    return lambda: training_step(model, optimiser, images, labels, 0.01)


def default_step() -> Callable[[], object]:
    """The dense step as the command line has it."""
    return _binary16_step("dense", DENSE)


def sampled_step() -> Callable[[], object]:
    """The step whose three products are sparse."""
    return _binary16_step("bdwp-mvue", SPARSE)


def _binary16_step(method: str, ratio: Ratio) -> Callable[[], object]:
    chosen, rng = methods.load(method), np.random.default_rng(0)
    model, optimiser = Model(zoo.load("resnet9"), FastBackend(), rng, method=chosen, ratio=ratio), Sgd()
    images, labels = _batch()
    return lambda: training_step(model, optimiser, images, labels, 0.01)


def lone_torch_step() -> Callable[[], object]:
    """PyTorch's step on one thread."""
    return torch_step(1)


def torch_step(threads: int = THREADS) -> Callable[[], object]:
    """The same network's step in PyTorch, in its own memory layout."""
    torch = import_module("torch")
    torch.set_num_threads(threads)
    network = _torch_resnet9(torch)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=1e-4)
    numbers, classes = _batch()
    images, labels = torch.tensor(numbers).permute(0, 3, 1, 2).contiguous(), torch.tensor(classes)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return step


def packing() -> Callable[[], object]:
    """Selection and packing of every pruned weight along both axes, layers side by side as `Model.prepare` has them."""
    model = _model("bdwp", SPARSE)
    weighted = [module for module in model.modules.values() if isinstance(module, Weighted)]
    layers = [module for module in weighted if not module.site.ratio.is_dense]
    pairs = [(layer.weight.value, layer.transposed(layer.weight.value)) for layer in layers]
    return lambda: model.backend.map(lambda pair: [pack(weights, SPARSE) for weights in pair], pairs)


def _model(method: str, ratio: Ratio) -> Model:
    rng = np.random.default_rng(0)
    return Model(zoo.load("resnet9"), FastBackend(BINARY32, threads=THREADS), rng, method=methods.load(method), ratio=ratio)


def _batch() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).standard_normal((BATCH, 32, 32, 3), np.float32)
    return images, np.arange(BATCH) % 10


def _torch_resnet9(torch: Any) -> Any:  # noqa: ANN401 (PyTorch is optional, so are its types)
    """`dataflow.zoo.resnet.resnet9` once more."""
    nn = torch.nn

    def block(inputs: int, outputs: int) -> list[object]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    class Residual(nn.Sequential):  # type: ignore[name-defined]
        def forward(self, images: Any) -> Any:  # noqa: ANN401
            return images + super().forward(images)

    return nn.Sequential(
        *block(3, 64),
        *block(64, 128),
        nn.MaxPool2d(2),
        Residual(*block(128, 128), *block(128, 128)),
        *block(128, 256),
        nn.MaxPool2d(2),
        *block(256, 512),
        nn.MaxPool2d(2),
        Residual(*block(512, 512), *block(512, 512)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def _peak_bytes(name: str) -> int:
    """Largest memory of a process of its own that takes three such steps, less what it holds before."""
    program = (
        f"from bench.training import *; {'import torch;' if name.endswith('torch_step') else ''}"
        "before = peak_bytes()\n"
        f"with threadpool_limits(1, user_api='blas'):\n    step = {name}(); step(); step(); step()\n"
        "print(peak_bytes() - before)"
    )
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def peak_bytes() -> int:
    """Largest resident memory of this process so far, as Linux counts it: not the parent's, which getrusage hands down."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _exact() -> Figure:
    rng = np.random.default_rng(0)
    weights, activations = (rng.standard_normal((rows, 512)).astype(np.float16) for rows in (128, 2048))
    seconds = alternate([lambda: exact.matmul(weights, activations)])[0]
    rate = len(weights) * len(activations) * 512 / seconds / 1e9
    return Figure("exact mode, dense product", rate, "GMAC/s", "128x2048x512, one core", ">= 0.3")


def _loading(step_seconds: float) -> Figure:
    """Images a second of reading CIFAR-10's first batch file and augmenting, against those that the step consumes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data_batch_1.bin"
        path.write_bytes(bytes(10_000 * 3073))

        def load() -> None:
            rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073)
            images = rows[:BATCH, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            NORMALISE_10(CropAndFlip(4)(images, np.random.default_rng(0)))

        seconds = alternate([load])[0]
    share = 100 * seconds / step_seconds
    return Figure("loading and augmenting a batch", share, "% of the step", "CIFAR-10, batch 64", "<= 100")
