"""``nmtrain program``: a step's programs, as text and back, and on all three executors."""

import json

import numpy as np
import pytest

from dataflow.compile.memory import KINDS
from hw.isa.commands import Source
from sim.cli import main
from sim.rtl import sat


def call(capsys, *arguments):
    """Exit status, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def step(tmp_path, capsys):
    status, out, _ = call(capsys, "program", "step", "--model", "mlp", "--batch", 3, "--out", tmp_path, "--json")
    assert status == 0
    return json.loads(out)


def test_a_step_is_written_and_runs(step, tmp_path, capsys):
    memory = np.fromfile(tmp_path / "memory.bin", np.uint8)
    assert len(memory) == step["memory_bytes"]
    for name, program in step["programs"].items():
        assert (tmp_path / f"{name}.bin").stat().st_size == program["bytes"]
    both = tmp_path / "both.bin"
    both.write_bytes((tmp_path / "forward.bin").read_bytes() + (tmp_path / "backward.bin").read_bytes())
    status, out, said = call(capsys, "program", "run", both, "--memory", tmp_path / "memory.bin", "--out", tmp_path, "--json")
    result = json.loads(out)
    assert status == 0
    assert f"{step['programs']['backward']['bytes']} bytes stand behind HALT" in " ".join(said.split())
    assert (result["error"], result["bytes_different"]) == ("NONE", 0)
    assert result["counted"] == result["predicted"]
    after = np.fromfile(tmp_path / "after.bin", np.uint8)
    changed = np.flatnonzero(after != memory)
    output = next(tensor for tensor in step["tensors"] if tensor["name"] == "fc3.output")
    assert np.any((changed >= output["offset"]) & (changed < output["offset"] + output["bytes"]))


def test_text_becomes_the_same_bytes(step, tmp_path, capsys):
    status, text, _ = call(capsys, "program", "show", tmp_path / "backward.bin")
    assert status == 0
    assert text.count("UPDATE") > 2
    (tmp_path / "mine.txt").write_text(text)
    assert call(capsys, "program", "assemble", tmp_path / "mine.txt", tmp_path / "mine.bin")[0] == 0
    assert (tmp_path / "mine.bin").read_bytes() == (tmp_path / "backward.bin").read_bytes()


def test_what_stands_behind_halt_is_told(tmp_path, capsys):
    text, program = tmp_path / "text", tmp_path / "bytes"
    text.write_text("SYNC\nHALT\nSYNC\nHALT\n")
    status, _, error = call(capsys, "program", "assemble", text, program)
    assert status == 0
    assert "text: 2 commands stand behind HALT, and have no effect" in " ".join(error.split())
    assert program.read_bytes() == bytes([1, 0, 0, 1, 0, 0, 0, 1] * 2)
    status, shown, _ = call(capsys, "program", "show", program)
    assert status == 0
    assert shown == "# 0: word 0\nSYNC\n# 1: word 1\nHALT\n# 8 bytes stand behind HALT, and have no effect\n"


@pytest.mark.parametrize(
    ("text", "numpy_says", "simpy_says"),
    [
        # elements of 2^4 bytes: there are none above 8
        ("LOAD.ELEMENTS  walk.size_log2=4\nHALT\n", "size_log2", "size_log2"),
        # a pass whose elements nothing brings
        ("PASS  words=12\nHALT\n", "takes 12 words of ELEMENTS", "does not end"),
    ],
)
def test_where_the_hardware_stopped_is_told_first(tmp_path, capsys, monkeypatch, text, numpy_says, simpy_says):
    """The hardware's answer is given here, as registers hold it: code 7, reader 3 from 16 on, the second command."""
    stopped = {"error_code": 7, "error_unit": 16 + 3, "error_command": 2, "error_address": 64, "status": 8}
    monkeypatch.setattr(sat, "run", lambda config, memory, *_, **__: [sat.Outcome(memory, dict(stopped), 0, None)])
    (tmp_path / "text").write_text(text)
    (tmp_path / "memory").write_bytes(bytes(4096))
    assert call(capsys, "program", "assemble", tmp_path / "text", tmp_path / "bytes")[0] == 0
    arguments = ("run", tmp_path / "bytes", "--memory", tmp_path / "memory", "--out", tmp_path / "out", "--json")
    status, out, error = call(capsys, "program", *arguments)
    result = json.loads(out)
    assert status == 1 and json.loads((tmp_path / "out" / "run.json").read_text()) == result
    unit = f"reader_{Source(3).name.lower()}"
    assert result["stopped"] == {"code": "NO_PROGRESS", "unit": unit, "command": 2, "address": 64}
    assert numpy_says in result["models"]["NumPy"] and simpy_says in result["models"]["SimPy"]
    told = [line.partition(":")[0] for line in error.splitlines() if line.startswith(("the RTL", "NumPy", "SimPy"))]
    assert told == ["the RTL stopped", "NumPy", "SimPy"]
    assert (tmp_path / "out" / "after.bin").read_bytes() == bytes(4096)


def test_wrong_files_are_told_in_a_line(tmp_path, capsys):
    (tmp_path / "text").write_text("NOP")
    (tmp_path / "endless").write_text("SYNC")
    (tmp_path / "bytes").write_bytes(b"\xff\xff\xff\xff")
    told = {
        ("show", tmp_path / "none"): "none: cannot be read: No such file or directory",
        ("show", tmp_path / "bytes"): "bytes: word 0: 255 is no opcode; allowed: 0 HALT",
        ("show", tmp_path / "text"): "text: a program is a whole number of 4-byte words, not 3 bytes",
        ("assemble", tmp_path / "text", tmp_path / "out"): "text:1: 'NOP' is no opcode",
        ("assemble", tmp_path / "bytes", tmp_path / "out"): "bytes: is not text",
        ("assemble", tmp_path / "endless", tmp_path / "out"): "endless: a program ends with HALT; this one has none",
    }
    for arguments, message in told.items():
        status, out, error = call(capsys, "program", *arguments)
        assert (status, out) == (2, "")
        assert message in " ".join(error.split())
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["resnet9", "vgg19"])
def test_every_tensor_of_a_network_is_described(name, tmp_path):
    """Of all that a network with normalisations and pools leaves in memory, a host reads what an element is."""
    with pytest.raises(SystemExit) as ended:
        main(["program", "step", "--model", name, "--scale", "32", "--batch", "2", "--out", str(tmp_path), "--json"])
    assert ended.value.code == 0
    tensors = json.loads((tmp_path / "memory.json").read_text())["tensors"]
    sizes = {"<f4": 4, "<f2": 2, "<u2": 2}
    for tensor in tensors:
        kind = KINDS[tensor["kind"]]
        assert (tensor["element"], tensor["layout"]) == (kind.element, kind.layout)
        assert tensor["element_bytes"] == kind.numbers * sizes[tensor["dtype"]]
    named = {tensor["name"].rpartition(".")[2]: tensor["role"] for tensor in tensors}
    assert {"factors", "mean", "variance", "scale", "shift"} <= named.keys()
    unknown = {part for part, role in named.items() if role.startswith("what lies between")}
    assert not unknown
