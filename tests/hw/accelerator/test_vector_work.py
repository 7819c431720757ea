"""Which passes and updates the vector unit can do, as plain Python says; and how many words of an update are packed."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from hw.accelerator.vector_work import is_pass, is_update, packed_words
from hw.config import PRESETS
from hw.isa.bits import PassOption
from hw.isa.bounds import out_of_range
from hw.isa.checks import problems
from hw.isa.commands import Pass, Update
from hw.isa.encoding import encode
from hw.parts.layouts import command_layout

CONFIG = replace(PRESETS["tiny"], adamw=True)
LANES = CONFIG.vpu_lanes


ELSEWHERE = "words must be those of "
"""What the dispatcher sees to."""


def body(command):
    return int.from_bytes(encode([command])[4:], "little")


def passes(rng):
    """Of reductions that go together, with a field or an option otherwise."""
    kinds = [
        {}, {"groups": 3, "terms": 4, "results": 6}, {"groups": LANES, "terms": 2, "results": 3, "last_lanes": 2},
        {"groups": 16, "terms": 1, "results": 16}, {"groups": 2, "terms": 16, "results": 2, "held_block": 2},
        {"groups": 2, "terms": 16, "results": 0, "held_block": 2},
    ]  # fmt: skip
    options = [0, *PassOption]
    for _ in range(2500):
        fields = dict(kinds[int(rng.integers(len(kinds)))])
        for name, near in (("groups", 1), ("results", 1), ("terms", 1), ("last_lanes", 1), ("held", 1), ("held_block", 1)):
            if rng.random() < 0.15:
                fields[name] = max(0, fields.get(name, 1) + int(rng.integers(-near, near + 1)))
        if rng.random() < 0.05:
            fields |= {"terms": int(rng.choice([65535, 65536])), "held_block": int(rng.choice([64, 65]))}
        chosen = int(rng.choice(options)) | int(rng.choice(options))
        groups, terms, results = fields.get("groups", 0), fields.get("terms", 1), fields.get("results", 0)
        across = LANES if chosen & PassOption.ACROSS else 1
        words = terms * (groups if chosen & PassOption.BESIDE else results * across) if groups else 4
        if words:
            yield Pass(words=words, options=chosen, **fields)


def updates(rng):
    for _ in range(1500):
        yield Update(
            words=int(rng.integers(1, 5)) * CONFIG.turned_block_words + int(rng.choice([0, 0, 1])),
            copies=int(rng.integers(0, 8)),
            n=int(rng.integers(1, 9)),
            m=int(rng.integers(1, CONFIG.max_group + 1)),
            moments=int(rng.random() < 0.3),
        )


def evaluated(kind, of, cases):
    """What hardware says of commands: a number for each."""
    m, given, found = Module(), Signal(command_layout(kind).size), Signal(32)
    m.d.comb += found.eq(of(m, data.View(command_layout(kind), given)))
    made = []

    async def bench(ctx):
        for command in cases:
            ctx.set(given, body(command))
            made.append(ctx.get(found))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return made


def judged(kind, of, cases):
    cases = [command for command in cases if not list(out_of_range(CONFIG, command))]
    due = [not [said for said in problems(CONFIG, command) if not said.startswith(ELSEWHERE)] for command in cases]
    assert 0.1 < np.mean(due) < 0.9
    for command, fits, said in zip(cases, due, evaluated(kind, of, cases), strict=True):
        assert said == fits, (command, list(problems(CONFIG, command)))


def test_updates_go_together_as_plain_python_says():
    judged(Update, lambda m, view: is_update(CONFIG, view), updates(np.random.default_rng(0)))


def test_passes_go_together_as_plain_python_says():
    judged(Pass, lambda m, view: is_pass(CONFIG, view), passes(np.random.default_rng(1)))


def test_n_of_every_m_words_are_packed():
    cases = [Update(words=64 * count, n=n, m=m) for count in (1, 5) for m in (2, 4, 8, 16) for n in range(1, min(m, 8) + 1)]
    assert evaluated(Update, lambda m, view: packed_words(CONFIG, m, view), cases) == [
        one.words // one.m * one.n for one in cases
    ]
