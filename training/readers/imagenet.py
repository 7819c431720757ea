"""ImageNet (Russakovsky et al., 2015) and Tiny ImageNet as folders of pictures."""

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.inputs import read_text, shown
from training.data import Data, Images, Normalise
from training.readers.augment import CropAndFlip
from training.readers.pictures import Pictures, square

NORMALISE = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's channels."""
ENDINGS = {".jpeg", ".jpg", ".png"}
MOST_HELD_BYTES = 1 << 30
"""Pictures that need more are decoded when a batch asks for them."""
Files = tuple[list[Path], NDArray[np.integer]]


def imagenet(path: Path) -> Data:
    """``train/<class>/`` and ``val/<class>/``, classes in alphabetical order, as 224x224; random parts and flips augment."""
    classes = sorted(folder.name for folder in _folder(path / "train").iterdir() if folder.is_dir())
    if not classes:
        raise InputError(f"{path / 'train'}: no folder of a class")
    train, train_labels = _by_class(path / "train", classes)
    test, test_labels = _by_class(path / "val", classes)
    pictures = Pictures(train, 224, 256)
    arrays = cast(Images, pictures), train_labels, cast(Images, Pictures(test, 224, 256)), test_labels
    return Data(*arrays, draw=pictures.draw, normalise=NORMALISE)


def tiny_imagenet(path: Path) -> Data:
    """``wnids.txt``, ``train/<class>/images/`` and ``val/images/`` with ``val/val_annotations.txt``, 64x64, held in memory."""
    classes = _lines(path / "wnids.txt")
    train, train_labels = _by_class(path / "train", classes)
    test, test_labels = _annotated(path / "val", classes)
    loaded = (Pictures(files, 64, 64)[:] for files in (train, test))
    return Data(next(loaded), train_labels, next(loaded), test_labels, augment=CropAndFlip(8), normalise=NORMALISE)


def folder(path: Path, size: int = 0) -> Data:
    """``train/<class>/`` and ``test/<class>/`` or ``val/<class>/``, classes in alphabetical order, as squares of three colours.

    Parameters
    ----------
    path : Path
        Of the folder.
    size : int
        Of the square, to which the shorter side is scaled; 0 takes that of the first picture, which must then be one.
    """
    classes = sorted(one.name for one in _folder(path / "train").iterdir() if one.is_dir())
    if not classes:
        raise InputError(f"{path / 'train'}: no folder of a class")
    train, train_labels = _by_class(path / "train", classes)
    test, test_labels = _by_class(path / ("test" if (path / "test").is_dir() else "val"), classes)
    size = size or square(train[0])
    pair = Pictures(train, size, size), Pictures(test, size, size)
    held = (len(train) + len(test)) * 3 * size * size <= MOST_HELD_BYTES
    images = [cast(Images, part[:] if held else part) for part in pair]
    return Data(images[0], train_labels, images[1], test_labels, normalise=Normalise((0.0,) * 3, (1.0,) * 3))


def _by_class(path: Path, classes: list[str]) -> Files:
    """Pictures below ``path/<class>``, and the class of each."""
    files, labels = [], []
    for number, name in enumerate(classes):
        found = sorted(file for file in _folder(path / name).rglob("*") if file.suffix.lower() in ENDINGS)
        if not found:
            raise InputError(f"{path / name}: no picture")
        files += found
        labels += [number] * len(found)
    return files, np.array(labels)


def _annotated(path: Path, classes: list[str]) -> Files:
    files, labels = [], []
    annotations = path / "val_annotations.txt"
    for number, line in enumerate(_lines(annotations), 1):
        file, _, rest = line.partition("\t")
        name = rest.split("\t")[0]
        if name not in classes:
            raise InputError(f"{annotations}, line {number}: {shown(name)} is no class of wnids.txt")
        files.append(path / "images" / file)
        labels.append(classes.index(name))
    return files, np.array(labels)


def _lines(path: Path) -> list[str]:
    lines = read_text(path).splitlines()
    if not lines:
        raise InputError(f"{path}: empty")
    return lines


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    return path
