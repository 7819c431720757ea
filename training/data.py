"""Data sets: what they hold, and how the trainer asks for batches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError

if TYPE_CHECKING:
    from training.readers.form import Form

Images = NDArray[Any]
Augmentation = Callable[[Images, np.random.Generator], Images]
"""Changes a batch of images at random; labels stay."""
Draw = Callable[[NDArray[np.integer], np.random.Generator], Images]
"""Reads training images by index, augmented."""


@dataclass(frozen=True)
class Normalise:
    """Images to numbers: ``(x / scale - mean) / deviation`` per channel.

    Parameters
    ----------
    mean, deviation : tuple of float
        One a channel.
    scale : float
        255 for bytes, 1 for numbers.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    scale: float = 255.0

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """To float32."""
        scale = np.float32(1 / self.scale) / np.array(self.deviation, np.float32)
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


def load_data(name: str, form: "Form | None" = None) -> Data:
    """A data set.

    Parameters
    ----------
    name : str
        Its name; ``NAME:PATH`` where the user has the files; an ``.npz`` of arrays, or a Python file that sets ``data``.
    form : Form or None
        What is asked of it beside; see `training.readers.form`.

    Raises
    ------
    InputError
        For an unknown name, with the allowed ones, and for files that are damaged or of another form.
    """
    from training.readers import read
    from training.readers.form import Form

    form = form or Form()
    if form.image_size and not name.startswith("folder:"):
        raise InputError(f"image_size is for folder:PATH, not for {name!r}")
    data = LOADERS[name]() if name in LOADERS else read(name, form, list(LOADERS))
    return form.apply(data)


RANDOM, RANDOM_IMAGES = "random", 64
"""Data of a network's own shape, and how many of its images are for training; a quarter as many are for testing."""


def random_data(shape: tuple[int, ...], classes: int, seed: int) -> Data:
    """Images of a sample's shape and labels that are drawn from `seed`: normal numbers, and any class."""
    rng = np.random.default_rng(seed)
    count = RANDOM_IMAGES + RANDOM_IMAGES // 4
    images = rng.standard_normal((count, *shape)).astype(np.float32)
    labels = rng.integers(0, classes, count)
    return Data(images[:RANDOM_IMAGES], labels[:RANDOM_IMAGES], images[RANDOM_IMAGES:], labels[RANDOM_IMAGES:])
