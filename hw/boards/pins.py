"""Boards with an ECP5 that open tools route: their pins, as the boards' own constraints have them (plain Python)."""

from dataclasses import dataclass

from hw.config import AcceleratorConfig
from hw.errors import InputError


@dataclass(frozen=True)
class Pin:
    """A pin of the device.

    Parameters
    ----------
    site : str
        Its ball.
    options : str
        Of its buffer, beside the voltage.
    """

    site: str
    options: str = "PULLMODE=NONE"


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters
    ----------
    name, family, package, speed : str
        What users call it; and the device, as nextpnr's options have it.
    clock_hz : float
        Its oscillator's.
    pins : dict of str to Pin
        By the port of the top: ``clk``, ``button`` (high: reset), ``receive``, ``transmit``, ``led`` (high: an interrupt).
    high : dict of str to Pin
        Ports that the board wants to be high.
    """

    name: str
    family: str
    package: str
    speed: str
    clock_hz: float
    pins: dict[str, Pin]
    high: dict[str, Pin]

    @property
    def module(self) -> str:
        """What files and the top are called."""
        return self.name.replace("-", "_")


BOARDS = {
    board.name: board
    for board in (
        Board(
            # https://github.com/emard/ulx3s, doc/constraints/ulx3s_v20.lpf; IO0 of its ESP32 low would restart the board
            name="ulx3s-85f", family="85k", package="CABGA381", speed="6", clock_hz=25e6,
            pins={
                "clk": Pin("G2"), "button": Pin("R1", "PULLMODE=DOWN"), "receive": Pin("M1", "PULLMODE=UP"),
                "transmit": Pin("L4", "PULLMODE=UP DRIVE=4"), "led": Pin("B2", "PULLMODE=NONE DRIVE=4"),
            },
            high={"wifi_gpio0": Pin("L2", "PULLMODE=NONE DRIVE=4")},
        ),
    )
}  # fmt: skip


def find_board(config: AcceleratorConfig, name: str) -> Board:
    """The board of that name; `InputError` where there is none, or the accelerator has another clock than its oscillator."""
    if name not in BOARDS:
        raise InputError(f"unknown board {name!r}; allowed: {', '.join(BOARDS)}")
    board = BOARDS[name]
    if config.clock_hz != board.clock_hz:
        raise InputError(f"clock_hz must be {board.clock_hz:g} on {name}, its oscillator's, not {config.clock_hz:g}")
    return board
