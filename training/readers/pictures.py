"""Pictures in files, decoded when a batch asks for them."""

from collections.abc import Sequence
from io import BytesIO
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hw.errors import InputError
from hw.inputs import read_bytes

SCALES, ASPECTS, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


def square(file: Path) -> int:
    """Side of a square picture; `InputError` where it is none."""
    try:
        with Image.open(BytesIO(read_bytes(file))) as picture:
            width, height = picture.size
    except InputError:
        raise
    except Exception as error:  # a damaged picture fails in as many ways as there are decoders
        raise InputError(f"{file}: not a whole picture: {str(error).partition(' <')[0] or type(error).__name__}") from None
    if width != height:
        raise InputError(f"{file}: {width}x{height} is no square; --image-size makes one of each picture")
    return width


class Pictures:
    """Behaves as an array (pictures, size, size, 3) of uint8 that lies on disk.

    Parameters
    ----------
    files : sequence of Path
        JPEG or PNG, of any size and colours.
    size : int
        Of the square that each becomes: the shorter side is scaled to `scaled`, and the middle cut out.
    scaled : int
        At least `size`.
    """

    def __init__(self, files: Sequence[Path], size: int, scaled: int) -> None:
        self.files, self.size, self.scaled = list(files), size, scaled
        self.shape = (len(self.files), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    @property
    def identity(self) -> str:
        """Names, sizes and times of change of the files, and what becomes of them."""
        states = [(str(file), state.st_size, state.st_mtime_ns) for file in self.files if (state := file.stat())]
        return repr((self.size, self.scaled, states))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Decode some, by a slice or an array of indices."""
        return np.stack([self._middle(self._open(number)) for number in np.arange(len(self.files))[chosen]])

    def draw(self, chosen: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Decode some, each as a random part of it, scaled and perhaps mirrored (Szegedy et al., CVPR 2015)."""
        return np.stack([self._part(self._open(number), rng) for number in chosen])

    def _open(self, number: int) -> Image.Image:
        file = self.files[number]
        try:
            with Image.open(BytesIO(read_bytes(file))) as picture:
                return picture.convert("RGB")
        except Exception as error:  # a damaged picture fails in as many ways as there are decoders
            raise InputError(
                f"{file}: not a whole picture that can be decoded: {str(error).partition(' <')[0] or type(error).__name__}"
            ) from None

    def _middle(self, picture: Image.Image) -> NDArray[np.uint8]:
        width, height = picture.size
        side = min(width, height) * self.size / self.scaled
        left, top = (width - side) / 2, (height - side) / 2
        return self._cut(picture, (left, top, left + side, top + side))

    def _part(self, picture: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
        width, height = picture.size
        flip = rng.random() < 0.5
        for _ in range(TRIES):
            area, aspect = width * height * rng.uniform(*SCALES), np.exp(rng.uniform(*np.log(ASPECTS)))
            across, down = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if 0 < across <= width and 0 < down <= height:
                left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
                part = self._cut(picture, (left, top, left + across, top + down))
                return part[:, ::-1] if flip else part
        return self._middle(picture)

    def _cut(self, picture: Image.Image, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))
