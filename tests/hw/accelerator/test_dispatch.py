"""The dispatcher stops at commands that do not agree, and at no others, as plain Python says of programs with a field changed.

Loads of a product, the product and the passes over its sums stand together, as compiled steps have them.
"""

import re
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from dataflow import zoo
from dataflow.analysis.exact import RATES
from dataflow.compile.assemble import assemble
from dataflow.ir.program import Stage
from dataflow.lowering.lower import lower
from hw.accelerator.dispatch import Dispatch
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.agreement import OPERANDS, Agreement
from hw.isa.bits import PassOption
from hw.isa.checks import check
from hw.isa.commands import Halt, Load, Pass, Product, Store, Walk
from hw.isa.encoding import encode
from hw.ratio import Ratio

TINY = PRESETS["tiny"]
FIELDS = {
    Load: ("across", "base", "shares", "share_words", "line_words", "word_step", "group", "spread", "beside"),
    Product: tuple(field.name for field in fields(Product) if field.name not in ("conditional", "dense")),
    Pass: ("outer", "middle", "rows", "row_tile", "columns", "column_tile", "slot_rows", "words"),
}
WALK = ("outer", "middle", "inner", "u_counter", "v_counter", "u_size", "u_tile", "v_size", "v_tile")


def groups(name):
    """What stands together of a step: both loads, a product, and the passes that take its sums."""
    network = zoo.load(name)
    program = lower(network, TINY, batch=3, ratio=Ratio(2, 8), sparse_stages=frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT}))
    made = assemble(network, program, TINY, RATES)
    found = []
    for command in (*made.forward, *made.backward):
        if isinstance(command, Load) and command.source in OPERANDS:
            if not found or any(isinstance(one, Product) for one in found[-1]):
                found.append([])
            found[-1].append(replace(command, after=0, conditional=False))
        elif isinstance(command, Product) or (isinstance(command, Pass) and command.options & PassOption.FROM_SUMS):
            found[-1].append(replace(command, conditional=False))
    return found


def changed(rng, commands):
    """The same with one number of one command a little otherwise, or without one, or with one twice; but for its end."""
    place = int(rng.integers(len(commands) - 2))
    command = commands[place]
    if rng.random() < 0.1:
        return [*commands[:place], *[command] * int(rng.choice([0, 2])), *commands[place + 1 :]]
    names = FIELDS[type(command)]
    in_walk = isinstance(command, Load) and rng.random() < 0.5
    name = str(rng.choice(WALK if in_walk else names))
    of = command.walk if in_walk else command
    value = getattr(of, name)
    new = int(rng.choice([value + 1, max(value - 1, 0), 2 * value, value // 2]))
    other = replace(of, **{name: new})
    return [*commands[:place], replace(command, walk=other) if in_walk else other, *commands[place + 1 :]]


def refused(commands):
    """How many commands are begun until one does not agree, and why; or None. `InputError` where a field cannot be."""
    for command in commands:
        check(TINY, command)
    agreement = Agreement(TINY)
    for place, command in enumerate(commands):
        try:
            agreement.follow(command)
        except InputError as error:
            return place + 1, re.sub("[0-9]+", "", str(error))
    return None, ""


def cases(rng):
    """Programs, and where each is refused: one of each reason, and some that are not."""
    end = Store(walk=Walk(boundary=TINY.vpu_lanes)), Halt()
    every = [[*one, *end] for name in ("cnn", "vit/64", "resnet9/64") for one in groups(name)]
    found, count = [], Counter()
    for _ in range(4000):
        one = changed(rng, every[int(rng.integers(len(every)))])
        try:
            due, why = refused(one)
        except InputError:
            continue
        if count[why] < (1 if why else 6):
            count[why] += 1
            found.append((one, due))
    pairs = [[*one[: -len(end)], *other] for one, other in pairwise(every) if any(getattr(load, "beside", 0) for load in other)]
    for pair in pairs[:2]:  # of which the second one's operands stand beside the first one's, or are moved onto them
        found.append((pair, refused(pair)[0]))
        moved = [replace(load, base=0) if isinstance(load, Load) and load.beside else load for load in pair]
        moved = [replace(one, weight_base=0, activation_base=0) if isinstance(one, Product) else one for one in moved]
        found.append((moved, refused(moved)[0]))
    assert len(count) > 20 and [due is None for _, due in found[-4:]] == [True, False] * 2
    assert all(refused(one) == (None, "") for one in every)
    return found


def words(commands):
    return np.frombuffer(encode(commands), "<u4").tolist()


def test_it_stops_where_commands_do_not_agree():
    """Whether pixels are whole images is known a division later, when another command may have begun."""
    reset = Signal()
    dispatch = Dispatch(TINY)

    async def bench(ctx):
        for level in (dispatch.quiet, dispatch.settled):
            ctx.set(level, 1)
        for port in dispatch.shapes:
            ctx.set(getattr(dispatch, port).ready, 1)
        for one, due in cases(np.random.default_rng(0)):
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            ctx.set(dispatch.begins, 1)
            await ctx.tick()
            ctx.set(dispatch.begins, 0)
            late = any(isinstance(command, Product) and command.cuts for command in one)
            assert await stopped(ctx, words(one)) in (due, due + 1 if due and late else due), one

    async def stopped(ctx, program):
        ctx.set(dispatch.i.valid, 1)
        for word in program:
            ctx.set(dispatch.i.payload, word)
            for _ in range(40):
                _, _, ready, wrong = await ctx.tick().sample(dispatch.i.ready, dispatch.wrong)
                if wrong:
                    ctx.set(dispatch.i.valid, 0)
                    return ctx.get(dispatch.commands)
                if ready:
                    break
            else:
                raise AssertionError("nothing moves")
        ctx.set(dispatch.i.valid, 0)
        for _ in range(60):
            _, _, done, wrong = await ctx.tick().sample(dispatch.done, dispatch.wrong)
            if done or wrong:
                return ctx.get(dispatch.commands) if wrong else None
        raise AssertionError("it does not end")

    simulator = Simulator(ResetInserter(reset)(dispatch))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
