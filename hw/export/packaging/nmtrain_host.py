"""The host's side of the accelerator, in one file: it needs NumPy alone, and ``registers.json`` beside it.

::

    bus = DevMem(registers=0xA000_0000, memory=0x8000_0000, memory_bytes=1 << 26)
    accelerator = Accelerator(bus)
    accelerator.load(Path("memory.bin").read_bytes())
    accelerator.run(Path("forward.bin").read_bytes(), timeout=1.0)
    step = Tensors(accelerator, Path("memory.json"))
    loss_of(step["fc3.output"])

A bus reaches the registers, by their offset, and the memory that the accelerator works in, by the address that the accelerator
has for it. `DevMem`, `Uio`, `Xdma`, `Pynq`, `Serial` and `Simulation` are such buses; so is any object with the methods
of `Bus`.
"""

import json
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 4096
POLL_SECONDS = 20e-6
RESET_SECONDS = 1.0


class AcceleratorError(RuntimeError):
    """The accelerator stopped; it has been reset and takes the next program.

    Attributes
    ----------
    code, unit : str
        Why and who, by the names of `registers.json`.
    address, command : int
        Where: a byte in the window, or the offset of a register; and how many commands had been begun.
    """

    def __init__(self, code: str, unit: str, address: int, command: int) -> None:
        self.code, self.unit, self.address, self.command = code, unit, address, command
        super().__init__(f"{code.replace('_', ' ')}: {unit.replace('_', ' ')}, address {address:#x}, command {command}")


class Bus(Protocol):
    """The way to an accelerator."""

    memory: int
    """The address, as the accelerator has it, of the memory that belongs to it: a multiple of 4096."""
    memory_bytes: int
    """And its length."""

    def read32(self, offset: int) -> int:
        """Read a register."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        ...

    def read(self, address: int, count: int) -> bytes:
        """Read memory."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Write memory."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...


class Accelerator:
    """An accelerator behind a bus.

    Parameters
    ----------
    bus : Bus
        The way to it.
    registers : Path, optional
        ``registers.json`` of its export; default: beside this file.

    Raises
    ------
    ConnectionError
        If what is there is no such accelerator, or of another version.
    """

    def __init__(self, bus: Bus, registers: Path | None = None) -> None:
        self.bus = bus
        path = registers or Path(__file__).with_name("registers.json")
        self._map = {one["name"]: one for one in json.loads(path.read_text(encoding="utf-8"))["registers"]}
        for name in ("identity", "version", "array_size", "array_slots", "lanes", "storage"):
            found, due = self[name], self._map[name]["reset"]
            if found != due:
                raise ConnectionError(f"register {name} is {found:#x}; {path.name} says {due:#x}: another device or export")
        self._image_bytes = 0
        if self["status"] & self._mask("status", "running") or not self["status"] & self._mask("status", "idle"):
            self.reset()
        self["window_base_low"] = bus.memory & 0xFFFFFFFF
        self["window_base_high"] = bus.memory >> 32
        self._set("window_bytes", bus.memory_bytes)

    def _set(self, name: str, value: int) -> None:
        """Both halves of a number."""
        self[name], self[f"{name}_high"] = value & 0xFFFFFFFF, value >> 32

    def __getitem__(self, name: str) -> int:
        return self.bus.read32(self._map[name]["offset"])

    def __setitem__(self, name: str, value: int) -> None:
        self.bus.write32(self._map[name]["offset"], value)

    def load(self, image: bytes) -> "Accelerator":
        """Write the memory's first bytes; programs go behind them."""
        self._image_bytes = len(image)
        self._fits(len(image), "the image")
        self.bus.write(self.bus.memory, bytes(image))
        return self

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the window."""
        return self.bus.read(self.bus.memory + offset, count)

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes of the window."""
        self._fits(offset + len(data), "what is written")
        self.bus.write(self.bus.memory + offset, bytes(data))

    def run(self, program: bytes, timeout: float = 10.0) -> dict[str, int]:
        """Run a program to its end; its performance counters.

        Parameters
        ----------
        program : bytes
            As ``nmtrain program`` writes it.
        timeout : float
            Seconds.

        Raises
        ------
        AcceleratorError
            If it stopped with an error.
        TimeoutError
            If it has not ended in time. It has been reset, as after an error.
        """
        place = -(-self._image_bytes // PAGE_BYTES) * PAGE_BYTES
        self.write(place, program)
        self._set("program_address", place)
        self["program_bytes"] = len(program)
        self["control"] = self._mask("control", "start")
        if not self._until(lambda status: not status & self._mask("status", "running"), timeout):
            self.reset()
            raise TimeoutError(f"the program has not ended within {timeout} s; the accelerator was reset")
        status = self["status"]
        if status & self._mask("status", "error"):
            raise self._stopped()
        if not status & self._mask("status", "done"):
            raise ConnectionError(f"the accelerator did not start: status {status:#x}")
        return self.counters()

    def counters(self) -> dict[str, int]:
        """Performance counters since the last start, by name."""
        names = [name.removesuffix("_low") for name in self._map if name.endswith("_low")]
        return {name: self[f"{name}_low"] | self[f"{name}_high"] << 32 for name in names if name != "window_base"}

    @property
    def overflow(self) -> bool:
        """Whether a gradient of the last program was not finite, so that no weight was updated."""
        return bool(self["status"] & self._mask("status", "overflow"))

    def reset(self) -> None:
        """Bring all units back; the memory stays as it is, and so do the settings."""
        self["control"] = self._mask("control", "reset")
        if not self._until(lambda status: not status & self._mask("status", "resetting"), RESET_SECONDS):
            raise ConnectionError("the accelerator's reset does not end: its memory port still waits for an answer")

    def _stopped(self) -> AcceleratorError:
        code, unit = (self._named(f"error_{part}") for part in ("code", "unit"))
        error = AcceleratorError(code, unit, self["error_address"], self["error_command"])
        self.reset()
        return error

    def _named(self, register: str) -> str:
        """What a register holds, by its name."""
        number = self[register]
        return next(name for name, value in self._map[register]["values"].items() if value == number)

    def _until(self, true_of: Any, timeout: float) -> bool:  # noqa: ANN401
        """Wait until something is true of the status; whether it came to be."""
        end = time.monotonic() + timeout
        while not true_of(self["status"]):
            if time.monotonic() > end:
                return False
            self.bus.wait(POLL_SECONDS)
        return True

    def _mask(self, register: str, field: str) -> int:
        bit = next(one["bit"] for one in self._map[register]["fields"] if one["name"] == field)
        return 1 << int(bit)

    def _fits(self, end: int, what: str) -> None:
        if end > self.bus.memory_bytes:
            raise ValueError(f"{what} ends at byte {end:,}; the memory has {self.bus.memory_bytes:,}")


class Tensors:
    """The tensors of a step by name, as arrays: reading one reads memory, assigning one writes it.

    Parameters
    ----------
    accelerator : Accelerator
        In whose memory they are.
    description : Path
        ``memory.json``, as ``nmtrain program step`` writes it.

    Notes
    -----
    Arrays have NumPy's types ``float32`` and ``float16``; what NumPy has no type for, bfloat16 and binary8, are unsigned
    integers of the same bits. Packed weights and masters have pairs on a last axis more: value and index, as unsigned integers;
    weight and velocity.
    """

    def __init__(self, accelerator: Accelerator, description: Path) -> None:
        self.accelerator = accelerator
        described = json.loads(description.read_text(encoding="utf-8"))
        self.described: Mapping[str, dict[str, Any]] = {one["name"]: one for one in described["tensors"]}
        self.loss_scale: float = described["loss_scale"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.described)

    def __getitem__(self, name: str) -> NDArray[Any]:
        tensor = self._find(name)
        kept = self._stored(tensor)[..., : tensor["shape"][-1], :]
        return kept[..., 0] if kept.shape[-1] == 1 else kept

    def __setitem__(self, name: str, values: NDArray[Any]) -> None:
        tensor = self._find(name)
        stored = self._stored(tensor)
        stored[..., : tensor["shape"][-1], :] = np.asarray(values).reshape(*tensor["shape"], stored.shape[-1])
        self.accelerator.write(tensor["offset"], stored.tobytes())

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.described:
            raise KeyError(f"no tensor {name!r}; there are: {', '.join(self.described)}")
        return self.described[name]

    def _stored(self, tensor: dict[str, Any]) -> NDArray[Any]:
        """As it stands, padding included, with the numbers of an element on the last axis."""
        kind = np.dtype(tensor["dtype"])
        numbers = np.frombuffer(self.accelerator.read(tensor["offset"], tensor["bytes"]), kind).copy()
        return numbers.reshape(*tensor["shape"][:-1], tensor["pitch"], tensor["element_bytes"] // kind.itemsize)


class _Mapped:
    """Registers and memory in the address space of this process."""

    def __init__(self, registers: mmap.mmap, window: mmap.mmap, memory: int, memory_bytes: int) -> None:
        self._registers, self._window = registers, window
        self._words = np.frombuffer(registers, np.uint32)  # single accesses of 32 bits
        self.memory, self.memory_bytes = memory, memory_bytes

    def read32(self, offset: int) -> int:
        return int(self._words[offset // 4])

    def write32(self, offset: int, value: int) -> None:
        self._words[offset // 4] = value

    def read(self, address: int, count: int) -> bytes:
        return self._window[address - self.memory : address - self.memory + count]

    def write(self, address: int, data: bytes) -> None:
        self._window[address - self.memory : address - self.memory + len(data)] = data

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class DevMem(_Mapped):
    """Registers and memory at physical addresses, through ``/dev/mem``.

    Parameters
    ----------
    registers, memory : int
        Their addresses, multiples of the page; the accelerator has the same address for the memory.
    memory_bytes : int
        Its length; no one else may use it.
    device : str
        Another file of the same kind.
    """

    def __init__(self, registers: int, memory: int, memory_bytes: int, device: str = "/dev/mem") -> None:
        file = os.open(device, os.O_RDWR | os.O_SYNC)
        try:
            parts = [mmap.mmap(file, size, offset=at) for at, size in ((registers, PAGE_BYTES), (memory, memory_bytes))]
        finally:
            os.close(file)
        super().__init__(parts[0], parts[1], memory, memory_bytes)


class Uio(_Mapped):
    """The maps of a UIO device: 0 has the registers, 1 the memory.

    Parameters
    ----------
    name : str
        Such as ``uio0``.
    system, devices : Path
        Where the system tells of it, and its device file.
    """

    def __init__(self, name: str, system: Path = Path("/sys/class/uio"), devices: Path = Path("/dev")) -> None:
        told = [
            {key: int((system / name / "maps" / f"map{number}" / key).read_text(), 0) for key in ("addr", "size")}
            for number in range(2)
        ]
        file = os.open(devices / name, os.O_RDWR | os.O_SYNC)
        try:
            parts = [mmap.mmap(file, one["size"], offset=number * mmap.PAGESIZE) for number, one in enumerate(told)]
        finally:
            os.close(file)
        super().__init__(parts[0], parts[1], told[1]["addr"], told[1]["size"])


class Xdma:
    """A card behind AMD's XDMA: registers at its AXI4-Lite port, memory through its two streams of bytes.

    Parameters
    ----------
    memory, memory_bytes : int
        Address and length of the card's memory that the accelerator works in.
    registers : int
        Offset of the registers at the AXI4-Lite port.
    device : str
        What the character devices' names begin with.
    """

    def __init__(self, memory: int, memory_bytes: int, registers: int = 0, device: str = "/dev/xdma0") -> None:
        self._user, self._out, self._in = (
            os.open(f"{device}_{name}", os.O_RDWR if name == "user" else flag)
            for name, flag in (("user", 0), ("h2c_0", os.O_WRONLY), ("c2h_0", os.O_RDONLY))
        )
        self._registers = registers
        self.memory, self.memory_bytes = memory, memory_bytes

    def read32(self, offset: int) -> int:
        return int.from_bytes(os.pread(self._user, 4, self._registers + offset), "little")

    def write32(self, offset: int, value: int) -> None:
        os.pwrite(self._user, value.to_bytes(4, "little"), self._registers + offset)

    def read(self, address: int, count: int) -> bytes:
        parts = []
        while count:
            part = os.pread(self._in, count, address)
            if not part:
                raise ConnectionError(f"the card gives nothing at {address:#x}")
            parts.append(part)
            address, count = address + len(part), count - len(part)
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        while data:
            done = os.pwrite(self._out, data, address)
            address, data = address + done, data[done:]

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Pynq:
    """A block of a PYNQ overlay, with memory that PYNQ allocates.

    Parameters
    ----------
    block : pynq.DefaultIP
        Such as ``overlay.sat_0``: it has ``read`` and ``write``.
    buffer : pynq.buffer.PynqBuffer
        Such as ``pynq.allocate(1 << 24, np.uint8)``: it has ``device_address``, ``flush`` and ``invalidate``.
    """

    def __init__(self, block: Any, buffer: Any) -> None:  # noqa: ANN401
        self._block, self._buffer = block, buffer
        self._skipped = -int(buffer.device_address) % PAGE_BYTES
        self.memory = int(buffer.device_address) + self._skipped
        self.memory_bytes = (len(buffer) - self._skipped) // 4 * 4

    def read32(self, offset: int) -> int:
        return int(self._block.read(offset))

    def write32(self, offset: int, value: int) -> None:
        self._block.write(offset, value)

    def read(self, address: int, count: int) -> bytes:
        self._buffer.invalidate()
        start = address - self.memory + self._skipped
        return bytes(self._buffer[start : start + count])

    def write(self, address: int, data: bytes) -> None:
        start = address - self.memory + self._skipped
        self._buffer[start : start + len(data)] = np.frombuffer(data, np.uint8)
        self._buffer.flush()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Serial:
    """The design of ``nmtrain export --serial`` at the other end of a serial line.

    A request is a letter, an address and a number of 4 bytes each, little endian, and data where it is a write of memory; the
    answer to each is a number of 4 bytes, and the data of a read. A write's answer is the sum of its bytes.

    Parameters
    ----------
    device : str
        The line, such as ``/dev/ttyUSB0``.
    memory_bytes : int
        Length of the design's memory, which begins at address 0.
    baud : int
        Bits a second.
    patience : float
        Seconds that an answer may take to begin.
    """

    CHUNK_BYTES = 4096
    """Of a write: its sum tells whether bytes were lost on the way."""

    def __init__(self, device: str, memory_bytes: int, baud: int = 1_000_000, patience: float = 2.0) -> None:
        import termios  # of POSIX alone
        import tty

        self.memory, self.memory_bytes, self._patience, self._device = 0, memory_bytes, patience, device
        self._line = os.open(device, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._line)
        settings = termios.tcgetattr(self._line)
        settings[4] = settings[5] = getattr(termios, f"B{baud}")
        termios.tcsetattr(self._line, termios.TCSANOW, settings)
        termios.tcflush(self._line, termios.TCIOFLUSH)

    def read32(self, offset: int) -> int:
        return self._ask(b"r", offset)

    def write32(self, offset: int, value: int) -> None:
        self._ask(b"w", offset, value)

    def read(self, address: int, count: int) -> bytes:
        return self._take(self._ask(b"R", address, count))

    def write(self, address: int, data: bytes) -> None:
        for start in range(0, len(data), self.CHUNK_BYTES):
            part = data[start : start + self.CHUNK_BYTES]
            if self._ask(b"W", address + start, len(part), part) != sum(part):
                raise ConnectionError(f"{self._device}: bytes changed on the way to {address + start:#x}")

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        """Leave the line."""
        os.close(self._line)

    def _ask(self, kind: bytes, address: int, number: int = 0, data: bytes = b"") -> int:
        request = struct.pack("<cII", kind, address, number) + data
        while request:
            request = request[os.write(self._line, request) :]
        return int(struct.unpack("<I", self._take(4))[0])

    def _take(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            if not select.select([self._line], [], [], self._patience)[0]:
                raise ConnectionError(f"{self._device}: no answer for {self._patience} s")
            parts += os.read(self._line, count - len(parts))
        return parts


class Simulation:
    """A simulator of the accelerator, which listens at a socket; see ``sim/harness/host_bridge.py`` of the project.

    A request is a letter, an address of 8 bytes and a number of 8 bytes, little endian, and data where it is a write of memory;
    the answer to each is a number of 8 bytes, and the data of a read.

    Parameters
    ----------
    path : str or Path
        The socket.
    memory, memory_bytes : int
        Address and length of the simulated memory.
    """

    CYCLES = 2000
    """That pass while it waits."""

    def __init__(self, path: str | Path, memory: int, memory_bytes: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self.memory, self.memory_bytes = memory, memory_bytes

    def read32(self, offset: int) -> int:
        return self._ask(b"r", offset)

    def write32(self, offset: int, value: int) -> None:
        self._ask(b"w", offset, value)

    def read(self, address: int, count: int) -> bytes:
        return self._take(self._ask(b"R", address, count))

    def write(self, address: int, data: bytes) -> None:
        self._ask(b"W", address, len(data), data)

    def wait(self, seconds: float) -> None:
        self._ask(b"t", 0, self.CYCLES)

    def close(self) -> None:
        """End the simulation."""
        self._ask(b"q", 0)
        self._socket.close()

    def _ask(self, kind: bytes, address: int, number: int = 0, data: bytes = b"") -> int:
        self._socket.sendall(struct.pack("<cQQ", kind, address, number) + data)
        return int(struct.unpack("<Q", self._take(8))[0])

    def _take(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("the simulation has ended")
            parts += part
        return parts
