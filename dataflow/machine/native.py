"""The machine's C++ as a library: compiled once, and kept by the content of all that it was made of.

::

    dataflow/machine/units/*.hpp, machine.cpp ──┐
    hw/isa, as dataflow.machine.numbers        ├─► C++ compiler ─► library in the cache's folder ─► `Machine`
      says it in a header ─────────────────────┘
"""

import ctypes
import hashlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dataflow.machine.numbers import COUNTED, Moment, Run, flat, header, numbers, sizes
from hw import processes
from hw.cache import cache_folder, keep, sealed
from hw.compiler import cpp_compiler
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command, Walk

UNITS = Path(__file__).parent / "units"
MAIN = UNITS / "machine.cpp"
FLAGS = ["-std=c++20", "-O2", "-shared", "-fPIC"]
STEPS = 1 << 20
"""Steps after which Python has its turn, so that a run can be interrupted."""


def sources(main: Path = MAIN) -> dict[str, bytes]:
    """All files of a library, of which `main` is the one that is compiled; it includes others."""
    found = {path.name: path.read_bytes() for path in [*sorted(UNITS.glob("*.hpp")), main]}
    return found | {"isa.hpp": header(PRESETS["tiny"]).encode()}


def content(main: Path = MAIN) -> str:
    """Hash of all that decides what a library does."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for name, text in sources(main).items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(text).digest())
    return digest.hexdigest()


def make(main: Path = MAIN) -> Path:
    """The file of the library that `main` makes of the machine, compiled if it is not there as it was written.

    Raises
    ------
    InputError
        If there is no C++ compiler, or it does not compile the machine: its first error.
    """
    path = cache_folder() / f"machine-{content(main)[:16]}" / f"{main.stem}.so"
    if sealed(path) is not None:
        return path
    compiler = cpp_compiler("the cycle model")
    print("compiling the cycle model, once ...", file=sys.stderr, flush=True)
    with processes.scratch() as made:
        for name, text in sources(main).items():
            (made / name).write_bytes(text)
        command = [compiler, *FLAGS, main.name, "-o", path.name]
        status, told = processes.run(command, made)
        if status:
            faults = [line for line in told.splitlines() if "error" in line] or told.splitlines()
            raise InputError(f"{compiler} cannot compile the cycle model: {''.join(faults[:1])}")
        keep(path, (made / path.name).read_bytes())
    return path


@cache
def loaded() -> ctypes.CDLL:
    """Loaded, with the types of its functions."""
    found = ctypes.CDLL(str(make()))
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for name, result, *arguments in (
        ("machine_fault", ctypes.c_char_p),
        ("machine_new", number, pointer, pointer, pointer, number, pointer),
        ("machine_free", None, pointer),
        ("machine_run", number, pointer, number),
        ("machine_cycles", number, pointer),
        ("machine_done_at", number, pointer),
        ("machine_stepped", number, pointer),
        ("machine_counters", None, pointer, pointer),
        ("machine_moments", number, pointer, pointer),
        ("walk_last_byte", number, pointer, pointer),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def array(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """Numbers as C++ has them."""
    return (ctypes.c_int64 * len(values))(*values)


def last_byte(config: AcceleratorConfig, walk: Walk) -> int:
    """Of all elements of a walk that are inside; -1 where none is."""
    return int(loaded().walk_last_byte(array(list(sizes(config).values())), array(list(flat(walk)))))


class Machine:
    """The accelerator with a program, from its start on.

    Parameters
    ----------
    config, commands
        The accelerator, and the program's commands up to its `Halt`.
    run : Run
        The memory, the program as it is read, and what is skipped.
    """

    def __init__(self, config: AcceleratorConfig, commands: Sequence[Command], run: Run) -> None:
        self._machine = ctypes.c_void_p()
        self._library = loaded()
        told, of_config = numbers(config, commands), array(list(sizes(config).values()))
        self._called(self._library.machine_new(of_config, array(run), array(told), len(told), ctypes.byref(self._machine)))

    def __del__(self) -> None:
        if self._machine:
            self._library.machine_free(self._machine)

    def _called(self, result: int) -> int:
        if result < 0:
            raise RuntimeError(self._library.machine_fault().decode())
        return result

    def run(self) -> bool:
        """Go on until results are complete, for `STEPS` at most; whether something is left to do."""
        return bool(self._called(self._library.machine_run(self._machine, STEPS)))

    @property
    def cycles(self) -> int:
        """The cycle that it has come to."""
        return int(self._library.machine_cycles(self._machine))

    @property
    def done_at(self) -> int:
        """The program's last cycle; -1 while it has not ended."""
        return int(self._library.machine_done_at(self._machine))

    @property
    def stepped(self) -> int:
        """Of the program's cycles, those that were not skipped."""
        return int(self._library.machine_stepped(self._machine))

    def counters(self) -> dict[str, int]:
        """Of `hw.isa.registers.COUNTERS`, all but the cycles."""
        found = array([0] * len(COUNTED))
        self._library.machine_counters(self._machine, found)
        return dict(zip(COUNTED, found, strict=True))

    def moments(self) -> tuple[Moment, ...]:
        """What had been counted whenever results were complete."""
        first, size = ctypes.POINTER(ctypes.c_int64)(), len(Moment._fields)
        count = self._library.machine_moments(self._machine, ctypes.byref(first))
        return tuple(Moment(*first[size * number : size * (number + 1)]) for number in range(count))


if __name__ == "__main__":
    make()
