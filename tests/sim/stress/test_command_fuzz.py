"""Programs with a word changed run alike on the RTL, in NumPy and on the SimPy machine, or all of them refuse them."""

from collections import Counter
from dataclasses import replace

import numpy as np

from hw.config import PRESETS
from hw.isa.commands import Halt, Load, Pass, Sink, Source, Store, Walk
from hw.isa.encoding import encode
from hw.isa.registers import COUNTERS, ErrorCode
from sim.rtl.sat import Outcome
from sim.stress.command_fuzz import compare, fuzz_commands

TINY = PRESETS["tiny"]
MUTANTS = 200


def test_executors_agree_on_commands_with_a_word_changed():
    verdicts = fuzz_commands(TINY, 1, MUTANTS)
    assert [verdict for verdict in verdicts if verdict.problems] == []
    ends = Counter(verdict.end for verdict in verdicts)
    assert set(ends) <= {"runs", "refused", "races", "overwritten"}
    assert min(ends["runs"], ends["refused"]) >= MUTANTS // 4, "there is something to agree on, either way"
    assert ends["races"] + ends["overwritten"] <= MUTANTS // 20


def test_what_differs_is_seen():
    """An RTL that stops alone, that leaves another byte, or that takes a cycle more."""
    walk = Walk(base=0, size_log2=2, boundary=TINY.vpu_lanes)
    commands = [Load(source=Source.ELEMENTS, walk=walk), Pass(), Store(sink=Sink.RESULTS, walk=replace(walk, base=64)), Halt()]
    before = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    place, program = 1024, encode(commands)
    before[place : place + len(program)] = np.frombuffer(program, np.uint8)
    after = before.copy()
    after[64:68] = before[:4]
    registers = {name: 0 for name in COUNTERS} | {"error_code": ErrorCode.NONE}
    _, first = compare(TINY, before, program, place, Outcome(after, registers, 0, None))
    said = {line.split()[0]: int(line.rpartition(" ")[2]) for line in first}
    right = Outcome(after, registers | said, 0, None)
    assert said["cycles"] > 100
    assert compare(TINY, before, program, place, right) == ("runs", [])
    late = replace(right, registers=right.registers | {"cycles": said["cycles"] + 1})
    problem = f"cycles is {said['cycles'] + 1}; SimPy says {said['cycles']}"
    assert compare(TINY, before, program, place, late) == ("runs", [problem])
    assert compare(TINY, before, program, place, replace(right, memory=before)) == ("runs", ["4 bytes are not NumPy's"])
    stopped = replace(right, registers=right.registers | {"error_code": ErrorCode.ILLEGAL_FIELD})
    problem = "RTL: ILLEGAL_FIELD, NumPy: runs, SimPy: runs"
    assert compare(TINY, before, program, place, stopped) == ("refused", [problem])
