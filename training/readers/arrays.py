"""Data sets as arrays: an ``.npz`` of the user's, MNIST's IDX files."""

import zlib
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.inputs import read_bytes
from training.archive import read_arrays
from training.data import Data, Normalise
from training.readers.files import MOST_BYTES, member, members

NAMES = ("train_images", "train_labels", "test_images", "test_labels")
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def npz(path: Path) -> Data:
    """Arrays `NAMES`: images (samples, height, width, channels), (samples, height, width) or (samples, features), and classes.

    Bytes become numbers of 0..1, floating-point numbers stay as they are. No pickle is read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    content = read_bytes(path, most_bytes=MOST_BYTES)
    try:
        arrays = read_arrays(content, NAMES, most_bytes=MOST_BYTES)
        found = list(ZipFile(BytesIO(content)).namelist())
    except Exception:  # a damaged archive fails in as many ways as there are bytes
        raise InputError(f"{path}: not an .npz of plain arrays, or a damaged one") from None
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise InputError(
            f"{path}: array {missing[0]} is missing; it has {', '.join(name.removesuffix('.npy') for name in found) or 'none'}"
        )
    return from_arrays(str(path), *(arrays[name] for name in NAMES))


def mnist(path: Path) -> Data:
    """The four IDX files of a folder, as they are or gzipped: MNIST, Fashion-MNIST and others of that form."""
    found = members(path)
    contents = [_unpacked(found, name, path) for name in MNIST]
    arrays = [_idx(content, f"{path}: {name}") for content, name in zip(contents, MNIST, strict=True)]
    return from_arrays(str(path), *arrays)


def from_arrays(where: str, *arrays: NDArray) -> Data:
    """A data set of `NAMES` in order, checked; `InputError` starts with `where` and names the array."""
    named = dict(zip(NAMES, arrays, strict=True))
    images, labels = ({part: named[f"{part}_{what}"] for part in ("train", "test")} for what in ("images", "labels"))
    for part in images:
        images[part] = _images(f"{where}: {part}_images", images[part])
        labels[part] = _labels(f"{where}: {part}_labels", labels[part], len(images[part]))
    if images["train"].shape[1:] != images["test"].shape[1:] or images["train"].dtype != images["test"].dtype:
        raise InputError(f"{where}: test_images are {_kind(images['test'])} each, train_images {_kind(images['train'])}")
    most = int(labels["train"].max())
    if labels["test"].max() > most:
        raise InputError(f"{where}: test_labels has class {labels['test'].max()}, train_labels none above {most}")
    channels = images["train"].shape[-1] if images["train"].ndim == 4 else 1
    bytes_of = images["train"].dtype == np.uint8
    normalise = Normalise((0.0,) * channels, (1.0,) * channels) if bytes_of else None
    return Data(images["train"], labels["train"], images["test"], labels["test"], normalise=normalise)


def _kind(images: NDArray) -> str:
    return f"{images.dtype} {images.shape[1:]}"


def _images(where: str, images: NDArray) -> NDArray:
    """Bytes, or float32 that are finite; of an image without channels one is made."""
    if images.ndim not in (2, 3, 4) or not images.size:
        raise InputError(f"{where} must be (samples, height, width, channels) or (samples, features), not {images.shape}")
    if images.dtype != np.uint8:
        if images.dtype.kind not in "fiu":
            raise InputError(f"{where} must be uint8 or floating-point numbers, not {images.dtype}")
        images = images.astype(np.float32)
        if not np.isfinite(images).all():
            raise InputError(f"{where} has numbers that are not finite")
    return images[..., None] if images.ndim == 3 else images


def _labels(where: str, labels: NDArray, count: int) -> NDArray[np.integer]:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(f"{where} must be one integer an image, {count}, not {labels.dtype} {labels.shape}")
    if labels.min() < 0:
        raise InputError(f"{where} must be at least 0, not {labels.min()}")
    return labels.astype(np.int64)


def _unpacked(found: dict[str, bytes | Path], name: str, path: Path) -> bytes:
    if name in found:
        return member(found, name, path)
    packed = member(found, f"{name}.gz", path)
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)  # of gzip
    try:
        content = unpacking.decompress(packed, MOST_BYTES)
    except zlib.error:
        content = b""
    if not unpacking.eof:
        raise InputError(f"{path}: {name}.gz: not a whole gzip file of at most {MOST_BYTES:,} bytes")
    return content


def _idx(content: bytes, where: str) -> NDArray:
    """An IDX file: two zero bytes, the type, the number of axes, their sizes in big-endian, then the numbers."""
    kind = IDX_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if kind is None or len(content) < 4 + 4 * content[3]:
        raise InputError(f"{where}: not an IDX file")
    axes = content[3]
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", axes, 4))
    dtype, body = np.dtype(kind), len(content) - 4 - 4 * axes
    if body != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise InputError(f"{where}: {body} bytes are not those of {shape}")
    return np.frombuffer(content, dtype, offset=4 + 4 * axes).reshape(shape).astype(dtype.newbyteorder("="))
