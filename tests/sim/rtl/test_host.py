"""The exported host driver runs the RTL, through a bridge to the simulator: whole steps, errors by name, time-outs."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_sat import COUNT, GOOD

from dataflow.compile.memory import NEXT
from hw.config import PRESETS
from hw.export.folder import HOST_FILES, PACKAGING
from hw.export.packaging import register_map
from hw.isa.commands import Pass
from hw.isa.encoding import decode, encode
from hw.isa.registers import OFFSETS, ErrorCode
from sim.cli import main
from sim.harness import host_bridge
from sim.rtl import sat
from sim.simulators.verilator import build
from training.loss import cross_entropy
from training.machine.executor import Executor
from training.numbers import to_storage

TINY = PRESETS["tiny"]
RAM_BYTES, WINDOW = 1 << 20, 0x10000


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The driver among the files of an export that it needs."""
    folder = tmp_path_factory.mktemp("export")
    for name in HOST_FILES:
        (folder / name).write_text((PACKAGING / name).read_text())
    (folder / "registers.json").write_text(register_map.register_json(TINY))
    (folder / "registers.h").write_text(register_map.register_header())
    spec = importlib.util.spec_from_file_location("exported_host", folder / "nmtrain_host.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["exported_host"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bus(host, tmp_path):
    """The way to a simulated accelerator, in a thread of its own."""
    simulator, faults = build({"sat.v": sat.verilog(TINY)}, "sat"), []

    def simulate():
        try:
            simulator.run(host_bridge.__name__, work=tmp_path, environment={host_bridge.BYTES: str(RAM_BYTES)})
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=simulate)
    thread.start()
    while not (tmp_path / host_bridge.SOCKET).exists():
        assert not faults and thread.is_alive(), faults
        time.sleep(0.05)
    bus = host.Simulation(tmp_path / host_bridge.SOCKET, WINDOW, RAM_BYTES - WINDOW)
    yield bus
    bus.close()
    thread.join()
    assert not faults


def test_a_step_on_the_rtl_is_the_one_of_numpy(host, bus, tmp_path):
    """The host writes a batch, reads the output, computes loss and gradient, and reads the trained weights."""
    folder = tmp_path / "step"
    with pytest.raises(SystemExit) as ended:
        main(["program", "step", "--model", "mlp", "--batch", "2", "--out", str(folder), "--json"])
    assert ended.value.code == 0
    described = json.loads((folder / "memory.json").read_text())
    programs = {name: (folder / f"{name}.bin").read_bytes() for name in ("forward", "backward")}
    machine = Executor(TINY, np.frombuffer((folder / "memory.bin").read_bytes(), np.uint8))
    accelerator = host.Accelerator(bus).load(machine.memory.tobytes())
    tensors = host.Tensors(accelerator, folder / "memory.json")
    trained = described["host"]["reads_after_backward"]["weights"]
    before = {name: tensors[name.removesuffix(NEXT)].copy() for name in trained}

    counters = accelerator.run(programs["forward"], timeout=600)
    machine.run(decode(programs["forward"]))
    assert counters["cycles"] > 1000
    output = tensors[described["host"]["reads_after_forward"]["output"]]
    loss, gradient = cross_entropy(np.asarray(output, np.float32).reshape(2, -1), np.array([3, 1]))
    assert np.isfinite(loss)
    (name,) = described["host"]["writes_before_backward"].values()
    tensors[name] = to_storage(gradient * np.float32(tensors.loss_scale), TINY.storage_format)
    place = tensors.described[name]
    written = slice(place["offset"], place["offset"] + place["bytes"])
    machine.memory[written] = np.frombuffer(accelerator.read(place["offset"], place["bytes"]), np.uint8)
    accelerator.run(programs["backward"], timeout=600)
    machine.run(decode(programs["backward"]))
    assert accelerator.read(0, len(machine.memory)) == machine.memory.tobytes()
    assert not accelerator.overflow
    assert all(np.any(tensors[name][..., 0] != values[..., 0]) for name, values in before.items()), "weights were trained"
    assert all(np.array_equal(tensors[name.removesuffix(NEXT)], values) for name, values in before.items()), "and kept"


def test_what_goes_wrong_has_a_name(host, bus, tmp_path):
    """An illegal command, a program without an end, bytes that are no words, one that does not end in time; then a good one."""
    accelerator = host.Accelerator(bus).load(bytes(4096))
    sync, halt = b"\1\0\0\1", b"\0\0\0\1"
    for program, code, address, command in (
        (b"\xff\0\0\1" + halt, "illegal_command", 0, 1),
        (sync, "no_halt", 0, 1),
        (sync + halt + b"\0", "illegal_setting", OFFSETS["program_bytes"], 0),
    ):
        with pytest.raises(host.AcceleratorError) as stopped:
            accelerator.run(program, timeout=600)
        told = stopped.value
        assert (told.code, told.unit, told.address, told.command) == (code, "control", address, command)
    assert str(told) == f"illegal setting: control, address {OFFSETS['program_bytes']:#x}, command 0"
    accelerator["watchdog_cycles"] = 0
    stuck = encode([Pass(words=1)]) + halt
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.05 s; the accelerator was reset"):
        accelerator.run(stuck, timeout=0.05)
    assert accelerator.run(sync + halt, timeout=600)["cycles"] < 500
    with pytest.raises(ValueError, match="ends at byte"):
        accelerator.load(bytes(RAM_BYTES))


def test_the_header_runs_programs_in_c(host, bus, tmp_path):
    """Compiled without a warning; the numbers are those that Python has for the same programs."""
    program = encode(GOOD)
    bus.write(WINDOW, np.arange(2048, dtype=np.uint16).tobytes())
    bus.write(WINDOW + 4096, program + bytes(4))
    folder = Path(host.__file__).parent
    compiler = next(found for name in ("cc", "gcc", "clang") if (found := shutil.which(name)))
    source = Path(__file__).with_name("host_main.c")
    command = [
        compiler,
        "-std=c99",
        "-D_POSIX_C_SOURCE=200809L",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        folder,
        "-o",
        "main",
        source,
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stderr == ""
    arguments = [tmp_path / host_bridge.SOCKET, hex(WINDOW), hex(RAM_BYTES - WINDOW), str(len(program))]
    bus._socket.close()  # the simulator has one host at a time
    done = subprocess.run([tmp_path / "main", *arguments], capture_output=True, text=True)
    bus._socket = host.Simulation(*arguments[:1], WINDOW, RAM_BYTES - WINDOW)._socket
    no_halt = [1, ErrorCode.NO_HALT, 0, 0, len(GOOD) - 1]
    illegal = [1, ErrorCode.ILLEGAL_SETTING, 0, OFFSETS["program_bytes"], 0]
    rows = [[0, 0, 0, 0, 0], no_halt, illegal, [0, 0, 0, 0, 0]]
    assert done.stdout.splitlines() == ["open 0", *(" ".join(map(str, map(int, row))) for row in rows)]
    copied = bus.read(WINDOW + 0x800, 2 * COUNT)
    assert copied == bus.read(WINDOW + 0x10, 2 * COUNT)


class Block:
    """Registers of an overlay's block."""

    def __init__(self):
        self.held = {0: 7}

    def read(self, offset):
        return self.held[offset]

    def write(self, offset, value):
        self.held[offset] = value


class Buffer(np.ndarray):
    """Memory as PYNQ allocates it."""

    device_address, calls = 0x1234, 0

    def flush(self):
        self.calls += 1

    invalidate = flush


def pynq(host, folder):
    bus = host.Pynq(Block(), np.zeros(1 << 16, np.uint8).view(Buffer))
    assert (bus.memory, bus.memory_bytes) == (0x2000, (1 << 16) - 0xDCC)
    return bus


def dev_mem(host, folder):
    (folder / "mem").write_bytes(bytes([7, 0, 0, 0]) + bytes(0x8000 - 4))
    return host.DevMem(0, 0x4000, 0x4000, str(folder / "mem"))


def uio(host, folder):
    for number, size in enumerate((0x1000, 0x2000)):
        maps = folder / "uio3" / "maps" / f"map{number}"
        maps.mkdir(parents=True)
        (maps / "addr").write_text(hex(0x40000000 + number))
        (maps / "size").write_text(hex(size))
    (folder / "dev").mkdir()
    (folder / "dev" / "uio3").write_bytes(bytes([7, 0, 0, 0]) + bytes(0x3000 - 4))
    return host.Uio("uio3", folder, folder / "dev")


def xdma(host, folder):
    (folder / "xdma_user").write_bytes(bytes(0x100) + bytes([7, 0, 0, 0]) + bytes(0x1000))
    (folder / "xdma_h2c_0").write_bytes(bytes(0x4000))
    os.link(folder / "xdma_h2c_0", folder / "xdma_c2h_0")
    return host.Xdma(0x1000, 0x2000, registers=0x100, device=str(folder / "xdma"))


@pytest.mark.parametrize("make", [pynq, dev_mem, uio, xdma])
def test_a_bus_reaches_registers_and_memory(host, tmp_path, make):
    """On files and objects in place of devices: what was written is read, at its place and nowhere else."""
    bus = make(host, tmp_path)
    assert bus.read32(0) == 7
    bus.write32(8, 0x89ABCDEF)
    assert (bus.read32(8), bus.read32(0)) == (0x89ABCDEF, 7)
    bus.write(bus.memory + 5, b"abcdefg")
    assert bus.read(bus.memory, 16) == b"\0\0\0\0\0abcdefg\0\0\0\0"
    bus.wait(0)
