"""What changes a batch of training images at random."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CropAndFlip:
    """A crop at a random place of the image padded with black, and a mirror image half of the time.

    Parameters
    ----------
    padding : int
        Pixels on each side, at least 0.
    """

    padding: int

    def __call__(self, images: NDArray, rng: np.random.Generator) -> NDArray:
        """(batch, height, width, channels) to the same shape and dtype."""
        edge, (batch, height, width, _) = self.padding, images.shape
        padded = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        places = rng.integers(0, 2 * edge + 1, (batch, 2))
        flips = np.less(rng.random(batch), 0.5)
        result = np.empty_like(images)
        for number, ((row, column), flip) in enumerate(zip(places.tolist(), flips.tolist(), strict=True)):
            crop = padded[number, row : row + height, column : column + width]
            result[number] = crop[:, ::-1] if flip else crop
        return result
