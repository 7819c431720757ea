"""The dynamic loss scale."""

from hw.errors import DivergedError

LARGEST = 2.0**24
SMALLEST = 2.0**-24


class LossScale:
    """A power of two that keeps binary16 gradients out of the subnormals; Micikevicius et al., ICLR 2018.

    Parameters
    ----------
    scale : float
        The first one, a power of two.
    growth_steps : int
        After so many good steps in a row it doubles, up to 2**24; a bad one halves it.
    """

    def __init__(self, scale: float = 1024.0, growth_steps: int = 500) -> None:
        self.scale = scale
        self.growth_steps = growth_steps
        self.good_steps = 0

    def record(self, *, finite: bool) -> None:
        """Take notice of a step's gradients; `InputError` when even tiny scales overflow, since training diverged."""
        if not finite:
            self.scale, self.good_steps = self.scale / 2, 0
            if self.scale < SMALLEST:
                raise DivergedError("training diverged: gradients are not finite at any loss scale; lower the learning rate")
            return
        self.good_steps += 1
        if self.good_steps == self.growth_steps:
            self.scale, self.good_steps = min(self.scale * 2, LARGEST), 0
