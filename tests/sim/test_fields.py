"""Fields that cannot be: the RTL stops with a cause at once, and both executors refuse them by name."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow.machine.executor import execute
from dataflow.machine.units.port import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PACKED_COPIES, PassOption
from hw.isa.commands import LOOPS, Counter, Halt, Load, Loop, Pass, Product, Sink, Source, Store, Update, Walk
from hw.isa.encoding import encode
from hw.isa.registers import ErrorCode, Unit
from sim.sat import run
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
ONE = (Loop(),) * (LOOPS - 1)


def line(base, count, size_log2=1, **more):
    """Numbers side by side."""
    fields = {"boundary": LANES, "u_size": count, "u_tile": count, "u": (Loop(count=count), *ONE)} | more
    return Walk(base=base, size_log2=size_log2, **fields)


ELEMENTS, RESULTS = Unit.READERS + Source.ELEMENTS, Unit.WRITERS + Sink.RESULTS
LOOPS_OF = {
    "count": (Loop(count=8), Loop(count=0), *ONE[1:]),
    "delta": (Loop(count=8), Loop(count=2, delta=-17), *ONE[1:]),
}
WALKS = {
    "walk.base must be a multiple of 2, not 257": {"base": 257},
    "walk.u.1.delta must be a multiple of 2, not -17": {"u": LOOPS_OF["delta"]},
    "walk.v.1.delta must be a multiple of 2, not -17": {"v": LOOPS_OF["delta"]},
    "walk.u.1.count must be in 1..16777215, not 0": {"u": LOOPS_OF["count"]},
    "walk.size_log2 must be in 0..3, not 4": {"size_log2": 4, "base": 256},
    "walk.boundary must be in 1..65535, not 0": {"boundary": 0},
    "walk.middle must be in 1..16777215, not 16777216": {"middle": 1 << 24},
    "walk.u_size must be in 1..16777215, not 16777216": {"u_size": 1 << 24},
    "walk.u_counter must be in 0..3, not 4": {"u_counter": 4},
    "walk.lowest must be in 0..1, not 2": {"lowest": 2},
    "walk.run_guard must be in 0..1, not 2": {"run_guard": 2},
    "walk.inner must be at most 2, the tiles of u": {"u_counter": Counter.INNER, "u_tile": 4, "inner": 3},
    "walk.outer must be at most 1, the tiles of v": {"v_counter": Counter.OUTER, "outer": 2},
}
GOOD_WALK = line(256, 8)
OPERANDS = {
    "group must be in 1..16, not 0": {"group": 0},
    "group must be in 1..16, not 17": {"group": 17},
    "shares must be in 1..16777215, not 0": {"shares": 0},
    "line_words must be in 0..16777215, not 16777216": {"line_words": 1 << 24},
}
PRODUCTS = {
    "outer must be in 1..16777215, not 0": {"outer": 0},
    "rounds must be in 1..16777215, not 16777216": {"rounds": 1 << 24},
    "group_rounds must be in 1..16, not 17": {"group_rounds": 17},
    "slot_rows * slot_columns must be in 1..4, not 5 * 1": {"slot_rows": 5},
    "slot_rows * slot_columns must be in 1..4, not 0 * 1": {"slot_rows": 0},
    "weight_shares must be in 1..16777215, not 0": {"weight_shares": 0},
    "activation_share_words must be in 0..16777215, not 16777216": {"activation_share_words": 1 << 24},
    "inner must be 2, as parts of 4 make 8; it is 1": {"part_rounds": 4},
    "inner must be 1, as parts of 8 make 8; it is 2": {"inner": 2},
    "part_rounds must be a multiple of group_rounds, 3, not 4": {"part_rounds": 4, "inner": 2, "group_rounds": 3},
    "vectors must be in 0..512, not 513": {"vectors": 513, "activation_shares": 2},
    "slot_rows must be in 1..1, not 2": {"vectors": 4, "activation_shares": 2, "slot_rows": 2},
    "activation_shares must be in 2..16777215, not 1": {"vectors": 4, "activation_shares": 1},
    "group_rounds must be a power of two where weights stay, not 3": {"vectors": 4, "activation_shares": 2, "group_rounds": 3},
    "part_rounds must be a multiple of the array's 4 columns, not 6": {
        "vectors": 4,
        "activation_shares": 2,
        "rounds": 12,
        "part_rounds": 6,
        "inner": 2,
        "group_rounds": 2,
    },
}
TILES = {
    "outer must be in 1..16777215, not 0": {"outer": 0},
    "columns must be in 1..16777215, not 16777216": {"columns": 1 << 24},
    "middle must be 1, as rows of 4 make 4; it is 2": {"middle": 2},
    "outer must be 2, as columns of 2 make 4; it is 1": {"column_tile": 2},
}
PASSES = {
    "words must be in 1..4294967295, not 0": {"words": 0},
    "steps must be in 0..1023, not 1024": {"steps": 1024},
    "options must be in 0..2047, not 2048": {"options": 2048},
    "place_words must be in 1..65535, not 0": {"place_words": 0},
    "place_columns must be in 1..65535, not 0": {"place_columns": 0},
    "place_rows must be in 1..65535, not 0": {"place_rows": 0},
    "groups must be in 4..4, not 8": {"groups": 8, "results": 4, "options": PassOption.ACROSS, "last_lanes": 4},
    "last_lanes must be in 1..4, not 5": {"groups": 4, "results": 4, "options": PassOption.ACROSS, "last_lanes": 5},
    "options must not have in_turn or places beside across": {
        "groups": 4,
        "results": 4,
        "options": PassOption.ACROSS | PassOption.PLACES,
        "last_lanes": 1,
    },
    "results must be in 2..2, not 1": {"groups": 2, "results": 1, "options": PassOption.BESIDE},
    "held_block must be in 1..64, not 65": {"groups": 2, "results": 2, "options": PassOption.BESIDE, "held_block": 65},
    "options must not have across, in_turn or places beside beside": {
        "groups": 16,
        "results": 16,
        "options": PassOption.BESIDE | PassOption.IN_TURN,
    },
    "groups must be in 16..64, not 15": {"groups": 15, "terms": 1, "results": 15, "options": PassOption.IN_TURN},
    "function must be in 0..10, not 11": {"function": 11},
    "groups must be in 0..64, not 65": {"groups": 65, "terms": 1, "results": 2},
    "terms must be in 1..4294967295, not 0": {"groups": 1, "terms": 0, "results": 2},
    "terms must be in 1..65535, not 65536": {"groups": 1, "terms": 1 << 16, "results": 2, "options": PassOption.LARGEST},
    "results must be in 1..4294967295, not 0": {"groups": 1, "terms": 1},
    "held must be in 0..512, not 513": {"held": 513},
    "held must be in 1..1, not 0": {"options": PassOption.BY_ROW},
    "held must be in 1..1, not 2": {"held": 2, "options": PassOption.BY_ROW},
    "held_block must be in 1..65535, not 0": {"held": 1, "held_block": 0},
    "columns must be in 1..16777215, not 0": {"held": 1, "columns": 0},
    "column_tile must be in 1..16777215, not 16777216": {"held": 1, "column_tile": 1 << 24},
}
UPDATES = {
    "words must be in 1..4294967295, not 0": {"words": 0},
    "words must be a multiple of 64, a block of packed copies, not 65": {"words": 65},
    "copies must be in 0..7, not 8": {"copies": 8},
    "unscale must be in -128..127, not -129": {"unscale": -129},
    "n must be in 1..4, not 5": {"n": 5},
    "n must be in 1..2, not 3": {"n": 3, "m": 2},
    "m must be a power of two up to 16, not 12": {"m": 12},
    "m must be a power of two up to 16, not 32": {"m": 32},
}

COPY = [Load(source=Source.ELEMENTS, walk=GOOD_WALK), Pass(words=2), Store(sink=Sink.RESULTS, walk=line(512, 8)), Halt()]
OPERAND = {
    "walk": Walk(base=256, size_log2=1, boundary=16, inner=2, u_counter=Counter.INNER, u_size=16, u_tile=8, v_size=4, v_tile=4,
                 u=(Loop(count=16), *ONE), v=(Loop(count=4, delta=32), *ONE)),
    "group": 16, "shares": 2, "share_words": 1, "line_words": 1,
}  # fmt: skip
LOADED = [Load(source=Source.WEIGHTS, **OPERAND), Load(source=Source.ACTIVATIONS, **OPERAND)]
PRODUCT = Product(rounds=8, part_rounds=8, group_rounds=8, dense=1, weight_shares=2, weight_share_words=1, weight_line_words=1,
                  activation_shares=2, activation_share_words=1, activation_line_words=1)  # fmt: skip
SUMS = Pass(words=4, options=PassOption.FROM_SUMS, columns=4, column_tile=4, rows=4, row_tile=4)
UPDATE = Update(words=64, copies=PACKED_COPIES, n=2, m=8)


def cases():
    """What is said, the program, which of its commands is wrong, and the unit."""
    load, passed, store, halt = COPY
    for said, fields in WALKS.items():
        wrong = replace(load, walk=replace(GOOD_WALK, **fields))
        yield f"LOAD: {said}", [wrong, passed, store, halt], 0, ELEMENTS
    for said, fields in list(WALKS.items())[:1]:
        yield f"STORE: {said}", [load, passed, replace(store, walk=replace(GOOD_WALK, **fields)), halt], 2, RESULTS
    for said, fields in OPERANDS.items():
        for number in range(2):
            loads = [replace(one, **fields) if place == number else one for place, one in enumerate(LOADED)]
            yield f"LOAD: {said}", [*loads, PRODUCT, SUMS, halt], number, Unit.ARRAY
    for said, fields in PRODUCTS.items():
        yield f"PRODUCT: {said}", [*LOADED, replace(PRODUCT, **fields), SUMS, halt], 2, Unit.ARRAY
    for said, fields in TILES.items():
        yield f"PASS: {said}", [*LOADED, PRODUCT, replace(SUMS, **fields), halt], 3, Unit.ARRAY
    for said, fields in PASSES.items():
        yield f"PASS: {said}", [load, replace(passed, **fields), store, halt], 1, Unit.VECTOR
    for said, fields in UPDATES.items():
        yield f"UPDATE: {said}", [replace(UPDATE, **fields), halt], 0, Unit.VECTOR


@pytest.mark.parametrize(("said", "program", "number", "unit"), list(cases()))
def test_executors_refuse_them(said, program, number, unit):
    with pytest.raises(InputError) as refused:
        Executor(TINY, np.zeros(1 << 16, np.uint8)).run(program)
    assert str(refused.value) == f"command {number}, {said}"
    with pytest.raises(InputError) as refused:
        execute(TINY, program, Memory())
    assert str(refused.value) == said


def test_the_accelerator_stops_at_them():
    """Long before the watchdog, with the unit; what follows runs."""
    memory = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    programs = [encode(part) for _, program, *_ in cases() for part in (program, COPY)]
    outcomes = run(TINY, memory, programs, watchdog_cycles=100_000)
    for (said, _, _, unit), bad, good in zip(cases(), outcomes[::2], outcomes[1::2], strict=True):
        assert (bad.error, bad.registers["error_unit"]) == (ErrorCode.ILLEGAL_FIELD, unit), said
        assert bad.registers["cycles"] < 3000, said
        assert good.error is ErrorCode.NONE, said


def test_chunks_that_cross_a_line_are_beyond_the_buffer():
    """A boundary that does not divide the group."""
    wrong = [replace(load, group=6) for load in LOADED]
    (outcome,) = run(TINY, np.zeros(4096, np.uint8), [encode([*wrong, PRODUCT, SUMS, Halt()])], watchdog_cycles=3000)
    assert (outcome.error, outcome.registers["error_unit"]) == (ErrorCode.BEYOND_BUFFER, Unit.ARRAY)
