"""Learning rates over a training."""

from collections.abc import Callable
from math import cos, pi

from hw.errors import InputError

Schedule = Callable[[float], float]
"""Factor of the learning rate at a fraction 0..1 of the training."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda fraction: 1.0,
    "cosine": lambda fraction: (1 + cos(pi * fraction)) / 2,
}


def load_schedule(name: str) -> Schedule:
    """A schedule by name; `InputError` names the allowed ones."""
    if name not in SCHEDULES:
        raise InputError(f"unknown schedule {name!r}; allowed: {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
