"""Random faults on the RTL of the accelerator: told, harmless, and over after a soft reset."""

import numpy as np

from hw.config import PRESETS
from sim.stress.faults import KINDS, backward_program, check_faults

TINY = PRESETS["tiny"]


def test_random_faults_are_told_and_harmless():
    memory, commands = backward_program(TINY)
    done = []
    rows, transfers = check_faults(TINY, memory, commands, 60, seed=1, progress=done.append)
    assert [row for row in rows if row["problems"]] == []
    assert len({row["kind"] for row in rows}) == len(KINDS), "every class of faults has its turn"
    assert len({row["told"] for row in rows}) == len(KINDS) - 1, "each is told by a code of its own, but two as illegal fields"
    assert done == [40, 60]
    assert transfers > 100_000


def test_what_a_fault_must_not_do_is_seen(monkeypatch):
    """Were every store forbidden, or every answer wrong, the check would say so."""
    memory, commands = backward_program(TINY)
    monkeypatch.setattr("sim.stress.faults._written", lambda commands, size: np.zeros(size, bool))
    monkeypatch.setattr("sim.stress.faults.Executor.run", lambda machine, commands: None)
    rows, _ = check_faults(TINY, memory, commands, 10, seed=1)
    found = " ".join(problem for row in rows for problem in row["problems"])
    assert "which no store writes, was changed" in found
    assert "bytes are wrong" in found
