"""The techniques that a program can do without, to see what each is worth.

Pre-generation is none of them: the accelerator packs weights while it updates them, and only then.
"""

from dataclasses import dataclass, fields

from hw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Techniques:
    """What the accelerator and its schedule make use of.

    Parameters
    ----------
    interleave : bool
        Several outputs share a USPE's accumulator pipeline. Without, each addition waits for the one before it.
    schedule : bool
        What stays in the array, and the tiles, are chosen for each product. Without, sums stay, in the squarest tiles.
    """

    interleave: bool = True
    schedule: bool = True


ALL = Techniques()
NAMES = tuple(field.name for field in fields(Techniques))


def without(*names: str) -> Techniques:
    """All techniques but those named."""
    for name in names:
        if name not in NAMES:
            raise InputError(f"unknown technique {name!r}; allowed: {', '.join(NAMES)}")
    return Techniques(**dict.fromkeys(names, False))
