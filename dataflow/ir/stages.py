"""Names that a program, its schedule and its reports share."""

from enum import StrEnum


class Stage(StrEnum):
    """The three products of a layer's training step."""

    FORWARD = "forward"
    INPUT_GRADIENT = "input_gradient"
    WEIGHT_GRADIENT = "weight_gradient"


class Dataflow(StrEnum):
    """What stays in the array's elements while a product runs."""

    OUTPUT_STATIONARY = "os"
    WEIGHT_STATIONARY = "ws"
