"""The design around the accelerator, from its pins: the exported driver loads and runs programs through the serial line."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest

from hw.config import AcceleratorConfig
from hw.export.packaging.fusesoc_core import LINT_FLAGS
from hw.isa.encoding import decode
from sim.cli import main
from sim.harness import serial_bridge
from sim.simulators.compilation import package_folder
from sim.simulators.verilator import build
from training.machine.executor import Executor

CONFIG = AcceleratorConfig(
    name="mini", rows=2, columns=2, max_group=4, sore_lanes=2, wuve_lanes=2, vpu_lanes=2, w2e_buffer_bytes=4096,
    n2s_buffer_bytes=4096, output_buffer_bytes=4096, partial_sum_words=128, axi_fifo_beats=16, clock_hz=25e6,
)  # fmt: skip
DIVISOR, MEMORY_BYTES = 4, 1 << 16
"""A line as fast as it goes, and no more memory than is used."""
TOML = "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(CONFIG).items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export for the board."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "mini.toml").write_text(TOML)
    baud = str(int(CONFIG.clock_hz) // DIVISOR)
    command(
        "export", "--config", folder / "mini.toml", "--serial", baud, "--memory", str(MEMORY_BYTES), "--out", folder / "sat"
    )
    return folder / "sat"


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.fixture
def host(folder):
    spec = importlib.util.spec_from_file_location("boards_host", folder / "nmtrain_host.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["boards_host"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def device(folder, tmp_path):
    """A terminal with the simulated board at its other end."""
    simulator = build(
        {name: (folder / name).read_text() for name in ("sat.v", "serial.v")}, "mini_serial", note="a serial design"
    )
    environment, faults = {serial_bridge.DIVISOR: str(DIVISOR)}, []

    def simulate():
        try:
            simulator.run(serial_bridge.__name__, work=tmp_path, environment=environment)
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=simulate)
    thread.start()
    while not (tmp_path / serial_bridge.TERMINAL).exists():
        assert not faults and thread.is_alive(), faults
        time.sleep(0.05)
    yield (tmp_path / serial_bridge.TERMINAL).read_text()
    thread.join()
    assert not faults


def test_a_network_runs_behind_the_serial_line(folder, host, device, tmp_path):
    """Its output is what NumPy says; an illegal command is named, and the next program runs."""
    config, step = folder.parent / "mini.toml", tmp_path / "step"
    network = ["--model", "mlp", "--scale", "8", "--batch", "2", "--ratio", "2:4"]
    command("program", "step", *network, "--config", config, "--out", step)
    program = (step / "forward.bin").read_bytes()
    machine = Executor(CONFIG, np.frombuffer((step / "memory.bin").read_bytes(), np.uint8))
    bus = host.Serial(device, MEMORY_BYTES, baud=115200, patience=120)
    accelerator = host.Accelerator(bus).load(machine.memory.tobytes())
    with pytest.raises(host.AcceleratorError, match=r"^illegal command: control, address 0x0, command 1$"):
        accelerator.run(b"\x7f\0\0\1")
    assert accelerator.run(program, timeout=120)["cycles"] > 1000
    machine.run(decode(program))
    described = json.loads((step / "memory.json").read_text())
    name = described["host"]["reads_after_forward"]["output"]
    output = host.Tensors(accelerator, step / "memory.json")[name]
    place = next(one for one in described["tensors"] if one["name"] == name)
    due = machine.memory[place["offset"] : place["offset"] + place["bytes"]]
    assert accelerator.read(place["offset"], place["bytes"]) == due.tobytes()
    assert np.any(output)
    bus.close()


def test_lines_that_lose_bytes_are_told_of(host):
    """A terminal at whose other end somebody answers wrongly, and then not at all."""
    ours, theirs = os.openpty()
    bus = host.Serial(os.ttyname(theirs), 4096, baud=115200, patience=0.05)
    os.write(ours, (5).to_bytes(4, "little"))
    with pytest.raises(ConnectionError, match=r"bytes changed on the way to 0x10$"):
        bus.write(0x10, b"abc")
    with pytest.raises(ConnectionError, match=r"no answer for 0\.05 s$"):
        bus.read32(0)
    bus.close()
    os.close(ours)
    os.close(theirs)


def test_the_design_lints_clean_and_is_in_the_manifest(folder):
    package, sources = package_folder("verilator"), [folder / "sat.v", folder / "serial.v"]
    command = [package / "bin" / "verilator_bin", "--lint-only", *LINT_FLAGS, "--top-module", "mini_serial", *sources]
    done = subprocess.run(command, env={"VERILATOR_ROOT": str(package)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"serial.v", "sat.v", "nmtrain_host.py"} <= manifest["files"].keys()
    assert manifest["top"] == "mini_sat"
    told = {name: manifest["serial"][name] for name in ("top", "memory_bytes", "baud")}
    assert told == {"top": "mini_serial", "memory_bytes": 1 << 16, "baud": 6_250_000}
    assert not {*manifest["modules"]} & {*manifest["serial"]["modules"]}
