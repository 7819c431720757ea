"""What can go wrong that is not a programming error (plain Python)."""


class InputError(ValueError):
    """A user's input is wrong; the message is one line that says what, where and what is allowed."""


class SimulationError(RuntimeError):
    """A simulator could not be built, ended abnormally, or a cocotb test in it failed."""


class DivergedError(InputError):
    """A training whose numbers are no longer finite."""
