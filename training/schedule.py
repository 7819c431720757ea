"""Learning rates over a training."""

from collections.abc import Callable
from math import cos, pi

from hw.errors import InputError

Schedule = Callable[[float], float]
"""Factor of the learning rate at a fraction 0..1 of the training."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda fraction: 1.0,
    "cosine": lambda fraction: (1 + cos(pi * fraction)) / 2,
    "step": lambda fraction: 1.0 if fraction < 0.5 else 0.1 if fraction < 0.75 else 0.01,
}


def load_schedule(name: str, warm_up: float = 0.0) -> Schedule:
    """A schedule by name; `InputError` names the allowed ones.

    Parameters
    ----------
    name : str
        In `SCHEDULES`; ``step`` is a tenth from one half on and a hundredth from three quarters.
    warm_up : float
        Fraction of the training, at least 0 and below 1, in which the rate first rises from 0 in proportion; the schedule
        fills the rest.
    """
    if name not in SCHEDULES:
        raise InputError(f"unknown schedule {name!r}; allowed: {', '.join(SCHEDULES)}")
    if not 0 <= warm_up < 1:
        raise InputError(f"warm_up must be in 0..1, below 1, not {warm_up}")
    schedule = SCHEDULES[name]
    if not warm_up:
        return schedule
    return lambda fraction: fraction / warm_up if fraction < warm_up else schedule((fraction - warm_up) / (1 - warm_up))
