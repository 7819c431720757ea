"""What the user asks of a data set beside its path: size, normalisation, augmentation."""

from dataclasses import dataclass, replace

import numpy as np

from hw.errors import InputError
from training.data import Data, Normalise
from training.readers.augment import CropAndFlip

MEASURED, RAW = "data", "none"


@dataclass(frozen=True)
class Form:
    """How a data set is to come.

    Parameters
    ----------
    image_size : int
        Side of the square that pictures of a folder become; 0 takes the first picture's.
    normalise : str
        ``mean:deviation``, each one number or one a channel with commas between; ``data`` measures both over the training
        images; ``none`` only maps bytes to 0..1; empty leaves it to the data set.
    augment : bool
        Whether training images are cropped at random, padded by an eighth, and mirrored half of the time.
    """

    image_size: int = 0
    normalise: str = ""
    augment: bool = False

    def __post_init__(self) -> None:
        if self.image_size < 0:
            raise InputError(f"image_size must be at least 0, not {self.image_size}")

    def apply(self, data: Data) -> Data:
        """`data` with what was asked for."""
        if self.normalise:
            data = replace(data, normalise=self._normalise(data))
        if self.augment and data.draw is None and data.augment is None:
            if len(data.train_images.shape) != 4:
                raise InputError("augment needs images (samples, height, width, channels)")
            data = replace(data, augment=CropAndFlip(max(min(data.train_images.shape[1:3]) // 8, 1)))
        return data

    def _normalise(self, data: Data) -> Normalise:
        channels = data.train_images.shape[-1] if len(data.train_images.shape) == 4 else 1
        scale = 255.0 if data.train_images.dtype == np.uint8 else 1.0
        if self.normalise == RAW:
            return Normalise((0.0,) * channels, (1.0,) * channels, scale)
        if self.normalise == MEASURED:
            return measure(data.train_images, channels, scale)
        mean, _, deviation = self.normalise.partition(":")
        return Normalise(self._numbers(mean, channels), self._numbers(deviation, channels, above=0.0), scale)

    def _numbers(self, text: str, channels: int, *, above: float = -np.inf) -> tuple[float, ...]:
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, channels) or not all(np.isfinite(number) and number > above for number in numbers):
            raise InputError(
                f"normalise must be data, none, or mean:deviation with one number or {channels} each, not {self.normalise!r}"
            )
        return numbers * (channels // len(numbers))


def measure(images: np.ndarray, channels: int, scale: float) -> Normalise:
    """Mean and deviation of each channel over all images; a channel of one value has deviation 1."""
    pixels = np.asarray(images[:]).reshape(-1, channels)
    mean = pixels.mean(axis=0, dtype=np.float64) / scale
    deviation = pixels.std(axis=0, dtype=np.float64) / scale
    return Normalise(tuple(mean.tolist()), tuple(np.where(deviation > 0, deviation, 1.0).tolist()), scale)
