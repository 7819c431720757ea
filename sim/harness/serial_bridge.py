"""The cocotb test that puts a design's serial line behind a terminal of the system, as a USB cable does; see `hw.boards`."""

import os
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, Timer

from sim.kit import PERIOD, reset

TERMINAL, DIVISOR = "terminal.txt", "DIVISOR"
"""The file that names the terminal; the variable that says how many clock cycles a bit has."""
QUIET_CYCLES = 500
"""That pass at once where the host says nothing."""


@cocotb.test
async def bridge(dut: Any) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
    """Go on until the host closes the terminal."""
    bit = PERIOD * int(os.environ[DIVISOR])
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    dut.receive.value = 1
    await reset(dut)
    cocotb.start_soon(_answers(dut, ours, bit))
    named = Path(TERMINAL)
    named.with_suffix(".part").write_text(os.ttyname(theirs), encoding="ascii")
    named.with_suffix(".part").rename(named)
    for request in _requests(ours, theirs):
        if not request:
            await First(FallingEdge(dut.transmit), Timer(PERIOD * QUIET_CYCLES, "step"))
        for byte in request:
            for level in (0, *(byte >> place & 1 for place in range(8)), 1):
                dut.receive.value = level
                await Timer(bit, "step")


def _requests(ours: int, theirs: int) -> Iterator[bytes]:
    """What the host has said since it was asked, perhaps nothing; until it goes."""
    opened = False
    while True:
        try:
            said = os.read(ours, 4096)
        except BlockingIOError:
            said = b""
        except OSError:  # nobody has the terminal open any more
            return
        if said and not opened:
            opened = True
            os.close(theirs)
        yield said


async def _answers(dut: Any, ours: int, bit: int) -> None:  # noqa: ANN401
    """Give what comes to the host."""
    while True:
        if int(dut.transmit.value):
            await FallingEdge(dut.transmit)
        await Timer(bit // 2, "step")
        byte = 0
        for place in range(8):
            await Timer(bit, "step")
            byte |= int(dut.transmit.value) << place
        await Timer(bit, "step")
        assert int(dut.transmit.value), "a stop bit"
        os.write(ours, bytes([byte]))
