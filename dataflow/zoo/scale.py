"""Narrow versions of networks: the same kinds of layers, less of each."""

from dataclasses import dataclass

from hw.errors import InputError
from hw.inputs import whole

MOST = 1024
"""No network has more channels that could be divided."""


@dataclass(frozen=True)
class Scale:
    """How much narrower a network is.

    Channels, features and classes are divided by `divisor` and rounded up; the sides of images are halved as often as they stay
    at least their `divisor`-th part, and large enough for every layer; of several blocks that are built alike two are left.

    Parameters
    ----------
    divisor : int
        1 leaves a network as it is.
    """

    divisor: int = 1

    def channels(self, count: int) -> int:
        """Of a layer that has so many."""
        return -(-count // self.divisor)

    def classes(self, count: int) -> int:
        """Of so many, at least two."""
        return max(2, self.channels(count))

    def blocks(self, count: int) -> int:
        """Of so many that are built alike."""
        return count if self.divisor == 1 else min(count, 2)

    def side(self, pixels: int, least: int) -> int:
        """Of an image, at least `least`."""
        side = pixels
        while side % 2 == 0 and side // 2 >= least and side // 2 * self.divisor >= pixels:
            side //= 2
        return side


def split(name: str) -> tuple[str, Scale]:
    """The network and the scale of ``name/divisor``, or of a name alone; `InputError` where the divisor is no number."""
    name, slash, divisor = name.partition("/")
    try:
        return name, Scale(whole(divisor, MOST, least=1) if slash else 1)
    except InputError as error:
        raise InputError(f"the scale of {name} {error}") from None
