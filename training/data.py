"""Data sets that need no download."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError

Augmentation = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Changes a batch of images at random; labels stay."""


@dataclass(frozen=True)
class Data:
    """A split data set.

    Parameters
    ----------
    train_images, test_images : ndarray, (samples, height, width, channels), float32
        In 0..1.
    train_labels, test_labels : ndarray of int, (samples,)
        Classes.
    augment : callable or None
        Of training images, batch by batch.
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.integer]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.integer]
    augment: Augmentation | None = None

    def batch(self, chosen: NDArray[np.integer], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        """Training images and labels, the images augmented with `rng`."""
        images = self.train_images[chosen]
        return (self.augment(images, rng) if self.augment else images), self.train_labels[chosen]


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
    """A data set by name; `InputError` names the allowed ones."""
    if name not in LOADERS:
        raise InputError(f"unknown data {name!r}; allowed: {', '.join(LOADERS)}")
    return LOADERS[name]()
