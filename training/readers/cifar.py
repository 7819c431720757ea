"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 32x32 colour images, binary or Python archive."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from training.data import Data, Normalise
from training.readers.augment import CropAndFlip
from training.readers.files import member, members
from training.readers.pickles import read_pickle

Split = tuple[NDArray[np.uint8], NDArray[np.integer]]
PIXELS = 3 * 32 * 32

NORMALISE_10 = Normalise((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
NORMALISE_100 = Normalise((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
"""Mean and deviation of the training images' channels."""


def cifar10(path: Path) -> Data:
    """50,000 and 10,000 images of 10 classes; a random crop of the image padded by 4, and a flip, augment them."""
    batches = [f"data_batch_{number}" for number in range(1, 6)]
    train, test = _read(path, batches, ["test_batch"], b"labels", label_bytes=1, classes=10)
    return Data(*train, *test, augment=CropAndFlip(4), normalise=NORMALISE_10)


def cifar100(path: Path) -> Data:
    """As `cifar10`, 100 fine classes."""
    train, test = _read(path, ["train"], ["test"], b"fine_labels", label_bytes=2, classes=100)
    return Data(*train, *test, augment=CropAndFlip(4), normalise=NORMALISE_100)


def _read(path: Path, train: list[str], test: list[str], key: bytes, *, label_bytes: int, classes: int) -> tuple[Split, Split]:
    found = members(path)
    binary = f"{train[0]}.bin" in found

    def split(names: list[str]) -> Split:
        if binary:
            parts = [_binary(member(found, f"{name}.bin", path), f"{path}: {name}.bin", label_bytes) for name in names]
        else:
            parts = [_pickled(member(found, name, path), f"{path}: {name}", key) for name in names]
        for name, (_, labels) in zip(names, parts, strict=True):
            if labels.max() >= classes or labels.min() < 0:
                raise InputError(f"{path}: {name}: labels must be in 0..{classes - 1}, not {labels.min()}..{labels.max()}")
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels

    return split(train), split(test)


def _binary(content: bytes, name: str, label_bytes: int) -> Split:
    """Records of labels, the last the finest, and planes of red, green and blue."""
    record = label_bytes + PIXELS
    if not content or len(content) % record:
        raise InputError(f"{name}: {len(content)} bytes are no whole number of records of {record}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


def _pickled(content: bytes, name: str, key: bytes) -> Split:
    read = read_pickle(content, name)
    missing = [entry.decode() for entry in (b"data", key) if entry not in read]
    if missing:
        raise InputError(f"{name}: {missing[0]} is missing")
    images, labels = read[b"data"], _integers(read[key])
    if labels is None:
        raise InputError(f"{name}: {key.decode()} must be one integer an image")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
        raise InputError(f"{name}: data must be one row of {PIXELS} bytes a label")
    return images, labels


def _integers(values: object) -> NDArray[np.int64] | None:
    """A sequence of integers as an array; None where it is anything else, or empty."""
    flat = isinstance(values, np.ndarray) or (isinstance(values, list) and all(type(value) is int for value in values))
    try:
        array = np.asarray(values) if flat else np.empty(0)  # a list of lists of lists may unfold without end
    except (ValueError, OverflowError):
        return None
    return array.astype(np.int64) if array.ndim == 1 and array.size and array.dtype.kind in "iu" else None
