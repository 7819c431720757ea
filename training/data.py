"""Data sets: what they hold, and how the trainer asks for batches."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError

Images = NDArray[Any]
Augmentation = Callable[[Images, np.random.Generator], Images]
"""Changes a batch of images at random; labels stay."""
Draw = Callable[[NDArray[np.integer], np.random.Generator], Images]
"""Reads training images by index, augmented."""


@dataclass(frozen=True)
class Normalise:
    """Bytes to numbers: ``(x / 255 - mean) / deviation`` per channel.

    Parameters
    ----------
    mean, deviation : tuple of float
        One a channel.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """uint8 to float32."""
        scale = np.float32(1 / 255) / np.array(self.deviation, np.float32)
        return images * scale - np.array(self.mean, np.float32) / np.array(self.deviation, np.float32)


@dataclass(frozen=True)
class Data:
    """A split data set.

    Parameters
    ----------
    train_images, test_images : ndarray, or what indexes like one, (samples, height, width, channels)
        float32 in 0..1, or uint8 where `normalise` turns them into numbers.
    train_labels, test_labels : ndarray of int, (samples,)
        Classes.
    augment : callable or None
        Of training images, batch by batch, before `normalise`.
    draw : callable or None
        Reads training images in place of indexing and augmenting them.
    normalise : Normalise or None
        Of every batch.
    """

    train_images: Images
    train_labels: NDArray[np.integer]
    test_images: Images
    test_labels: NDArray[np.integer]
    augment: Augmentation | None = None
    draw: Draw | None = None
    normalise: Normalise | None = None

    def batch(self, chosen: NDArray[np.integer], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        """Training images and labels by index, the images augmented with `rng`."""
        images = self.draw(chosen, rng) if self.draw else self.train_images[chosen]
        images = self.augment(images, rng) if self.augment else images
        return self._numbers(images), self.train_labels[chosen]

    def test_batch(self, part: slice) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        """Test images and labels."""
        return self._numbers(self.test_images[part]), self.test_labels[part]

    def _numbers(self, images: Images) -> NDArray[np.float32]:
        return self.normalise(images) if self.normalise else images


def digits() -> Data:
    """The 1,797 handwritten digits of 8x8 grey levels that scikit-learn ships (UCI, Alpaydin and Kaynak).

    One fixed fifth, stratified by class, is for testing, whatever the training's seed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = (bunch.images / 16).astype(np.float32)[..., None]
    train, test, train_labels, test_labels = train_test_split(
        images, bunch.target, test_size=0.2, random_state=0, stratify=bunch.target
    )
    return Data(train, train_labels, test, test_labels)


LOADERS: dict[str, Callable[[], Data]] = {"digits": digits}


def load_data(name: str) -> Data:
    """A data set by ``NAME`` or, where the user has the files, ``NAME:PATH``; `InputError` names the allowed ones."""
    from training.readers import READERS

    kind, colon, path = name.partition(":")
    if kind in READERS:
        if not path:
            raise InputError(f"data {kind!r} needs a path: {kind}:PATH")
        return READERS[kind](Path(path))
    if colon or kind not in LOADERS:
        allowed = [*LOADERS, *(f"{reader}:PATH" for reader in READERS)]
        raise InputError(f"unknown data {name!r}; allowed: {', '.join(allowed)}")
    return LOADERS[kind]()
