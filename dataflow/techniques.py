"""The three techniques that can be switched off, to see what each is worth."""

from dataclasses import dataclass, fields

from hw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Techniques:
    """What the accelerator and its schedule make use of.

    Parameters
    ----------
    interleave : bool
        Several outputs share a USPE's accumulator pipeline. Without, each addition waits for the one before it.
    pregenerate : bool
        Packed weights are written while the updated weight is in hand. Without, they are selected from dense weights right
        before the product that reads them, once its activations are there.
    schedule : bool
        Tiles, loop orders and overlap are chosen for each product. Without, every product streams squarest tiles and starts
        when the one before has left the array.
    """

    interleave: bool = True
    pregenerate: bool = True
    schedule: bool = True


ALL = Techniques()
NAMES = tuple(field.name for field in fields(Techniques))


def without(*names: str) -> Techniques:
    """All techniques but those named."""
    for name in names:
        if name not in NAMES:
            raise InputError(f"unknown technique {name!r}; allowed: {', '.join(NAMES)}")
    return Techniques(**dict.fromkeys(names, False))
