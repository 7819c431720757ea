"""The machine's C++ as a library: compiled once of this very source, and told what hw/isa says."""

import os
import re
from dataclasses import replace

import pytest

from dataflow.machine import native, numbers
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.cache import seal_of
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Halt, Load, Loop, Pass, Source, Walk
from hw.isa.microarchitecture import QUEUED_COMMANDS

TINY = PRESETS["tiny"]


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A library of one function, in a cache of its own."""
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path / "cache"))
    main = tmp_path / "one.cpp"
    main.write_text('#include "isa.hpp"\nextern "C" machine::Int one() { return machine::QUEUED_COMMANDS; }\n')
    return main


def test_a_library_is_compiled_once(other, capfd):
    path = native.make(other)
    assert "compiling the cycle model, once" in capfd.readouterr().err
    assert native.make(other) == path and capfd.readouterr() == ("", "")
    assert native.ctypes.CDLL(str(path)).one() == QUEUED_COMMANDS


def test_a_damaged_library_is_compiled_again(other):
    path = native.make(other)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert native.make(other).read_bytes()[:4] == b"\x7fELF" and len(path.read_bytes()) == len(whole)
    seal_of(path).unlink()
    assert native.make(other) == path and seal_of(path).exists()


def test_another_source_is_another_library(other):
    path = native.make(other)
    other.write_text(other.read_text().replace("QUEUED_COMMANDS;", "QUEUED_COMMANDS + 1;"))
    assert native.make(other) != path
    assert native.ctypes.CDLL(str(native.make(other))).one() == QUEUED_COMMANDS + 1


def test_without_a_compiler_one_line_says_so(other, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(InputError, match=r"^the cycle model needs a C\+\+ compiler, and none of /nowhere/c\+\+ was found"):
        native.make(other)


def test_what_cannot_be_compiled_is_told(other):
    other.write_text("int one( {\n")
    with pytest.raises(InputError, match=r"cannot compile the cycle model: one\.cpp:1:\d+: error: [^\n]*$"):
        native.make(other)
    assert not list(native.cache_folder().rglob("*.so"))


def test_structs_have_what_commands_have():
    """Each number has its place: as many members as numbers, in the order of the fields."""
    header = numbers.header(TINY)
    members = dict(re.findall(r"struct (\w+) \{ (.*) \};", header))
    assert members["Sizes"] == " ".join(f"Int {name};" for name in numbers.sizes(TINY))
    walk = Walk(base=8, v_size=5, u=(Loop(count=2), Loop(count=3, guard_1=-1), Loop(), Loop(delta=64)))
    loops = [2, 0, 0, 0, 3, 0, 0, -1, 1, 0, 0, 0, 1, 64, 0, 0]
    flat = list(numbers.flat(walk))
    declared = members["Walk"].split("; ")
    assert declared[0] == "Int base" and flat[0] == 8
    assert flat[declared.index("Int v_size")] == 5
    assert declared[-2:] == ["Loop u[LOOPS]", "Loop v[LOOPS];"] and flat[len(declared) - 2 :][:16] == loops
    load = list(numbers.flat(Load(source=Source.GATE, walk=walk, after=7)))
    assert members["Load"].split("; ")[:3] == ["Int conditional", "Int source", "Walk walk"] and load[:3] == [0, 6, 8]
    assert members["Load"].split("; ")[-2] == "Int after" and load[-2] == 7


def test_what_follows_from_a_pass_is_told_with_it():
    step = Pass(steps=PassStep.SHIFT | PassStep.RESIDUAL, options=PassOption.SHIFT_FACTOR, words=3)
    told = numbers.numbers(TINY, [step, Halt()])
    assert told[2] == len(list(numbers.flat(step))) + 4
    assert told[3 + told[2] - 4 :][:4] == [1, 0, 1, 0]  # pairs, no third, a residual, no reduction
    assert told[3 + told[2] :] == [0, 1, 1, 0]  # HALT: opcode, words, one field, not conditional


def test_a_run_can_be_interrupted(monkeypatch):
    """Python has its turn after so many steps."""
    monkeypatch.setattr(native, "STEPS", 1)
    turns = []
    machine_run = native.Machine.run
    monkeypatch.setattr(native.Machine, "run", lambda self: turns.append(1) or machine_run(self))
    program = [Halt()]
    found = execute(TINY, program, Memory())
    assert len(turns) > 10
    monkeypatch.undo()
    assert found == execute(TINY, program, Memory())


def test_the_machine_is_that_of_its_configuration():
    told = numbers.sizes(replace(TINY, dram_channels=2))
    assert told["ports"] == 2 and told["rows"] == TINY.rows and told["result_buffer_words"] == TINY.result_buffer_words
    assert os.path.getsize(native.make()) > 0
