"""What an experiment's names stand for, by content: two trainings are the same where all of it is."""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dataflow.network import Network
from hw.files import hash_files
from hw.inputs import read_bytes
from training.archive import MOST_BYTES
from training.data import Data

WEIGHTS = (".onnx", ".npz", ".safetensors", ".pt", ".pth", ".bin")
"""Files that may bring weights."""

SOURCES = ("training/**/*.py", "dataflow/pruning.py", "hw/formats.py", "hw/ratio.py")
"""What decides the bits of a training beside NumPy: methods are among it."""


def contents(network: Network, data: Data, files: Iterable[Path] = ()) -> dict[str, str]:
    """SHA-256 of the network, of the data, and of the trainer with its methods; what a kept result belongs to.

    Pictures that lie on disk count by name, size and time of change: to read them all would take as long as an epoch. Of
    `files`, of weights and of a method, all count.
    """
    brought = [hashlib.sha256(read_bytes(file, most_bytes=MOST_BYTES)).hexdigest() for file in files]
    return {
        "network_sha256": _sha256(repr((network.name, network.input_shape, network.layers))),
        "data_sha256": data_hash(data),
        "files_sha256": " ".join(brought),
        "trainer_sha256": trainer_hash(),
    }


def read_files(model: str, init: str = "", method: str = "") -> list[Path]:
    """Of what a training's options call, the files that it reads weights and a method from."""
    weights = [Path(name) for name in (model, init) if Path(name).suffix in WEIGHTS]
    return weights + [Path(method)] * method.endswith(".py")


def data_hash(data: Data) -> str:
    """SHA-256 of images and labels, and of what is done to them."""
    digest = hashlib.sha256(repr((data.augment, data.draw is not None, data.normalise)).encode())
    for part in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        if isinstance(part, np.ndarray):
            digest.update(repr((part.shape, str(part.dtype))).encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(part.identity.encode())
    return digest.hexdigest()


@cache
def trainer_hash() -> str:
    """SHA-256 of the sources that decide the bits, and NumPy's version."""
    root = Path(__file__).parents[1]
    files = hash_files(root, {path for pattern in SOURCES for path in root.glob(pattern)})
    return _sha256(f"{files} numpy {version('numpy')}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
