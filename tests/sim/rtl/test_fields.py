"""Fields that cannot be: the RTL stops with a cause at once, and both executors refuse them by name."""

from dataclasses import fields, replace

import numpy as np
import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PACKED_COPIES, PassOption
from hw.isa.bounds import BOUNDS, field_range, ranges
from hw.isa.commands import COMMANDS, LOOPS, Counter, Halt, Load, Loop, Pass, Product, Sink, Source, Store, Update, Walk, layout
from hw.isa.encoding import encode
from hw.isa.registers import ErrorCode, Unit
from sim.rtl.sat import DEFAULT_TIMING, program_address, run
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
ONE = (Loop(),) * (LOOPS - 1)


def line(base, count, size_log2=1, **more):
    """Numbers side by side."""
    fields = {"boundary": LANES, "u_size": count, "u_tile": count, "u": (Loop(count=count), *ONE)} | more
    return Walk(base=base, size_log2=size_log2, **fields)


ELEMENTS, RESULTS = Unit.READERS + Source.ELEMENTS, Unit.WRITERS + Sink.RESULTS
WALKS = {
    "walk.base must be a multiple of 2, not 257": {"base": 257},
    "walk.u.1.delta must be a multiple of 2, not -17": {"u": (Loop(count=8), Loop(count=2, delta=-17), *ONE[1:])},
    "walk.v.1.delta must be a multiple of 2, not -17": {"v": (Loop(count=8), Loop(count=2, delta=-17), *ONE[1:])},
    "walk.inner must be at most 2, the tiles of u": {"u_counter": Counter.INNER, "u_tile": 4, "inner": 3},
    "walk.outer must be at most 1, the tiles of v": {"v_counter": Counter.OUTER, "outer": 2},
    "walk.boundary must be 4, not 2": {"boundary": 2},
}
PRODUCTS = {
    "slot_rows * slot_columns must be in 1..4, not 2 * 4": {"slot_rows": 2, "slot_columns": 4},
    "inner must be 2, as parts of 4 make 8; it is 1": {"part_rounds": 4},
    "inner must be 1, as parts of 8 make 8; it is 2": {"inner": 2},
    "part_rounds must be a multiple of group_rounds, 3, not 4": {"part_rounds": 4, "inner": 2, "group_rounds": 3},
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
PASSES = {
    "terms must be a multiple of 16 where the reduction goes on, not 2": {
        "groups": 1,
        "terms": 2,
        "options": PassOption.BESIDE,
    },
    "groups must be in 4..4, not 8": {"groups": 8, "results": 4, "options": PassOption.ACROSS, "last_lanes": 4},
    "last_lanes must be in 1..4, not 0": {"groups": 4, "results": 4, "options": PassOption.ACROSS},
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
    "groups must be in 16..64, not 15": {"groups": 15, "results": 15, "options": PassOption.IN_TURN},
    "terms must be in 1..65535, not 65536": {"groups": 1, "terms": 1 << 16, "results": 2, "options": PassOption.LARGEST},
    "words must be those of 1 terms for each of 3 results, of 1 at once; they are 2": {"groups": 1, "results": 3},
    "words must be those of 1 terms for each of 0 results, of 1 at once; they are 2": {"groups": 1, "results": 0},
    "words must be those of 1 terms for each of 2 results, of 4 at once; they are 2": {
        "groups": 4,
        "results": 2,
        "options": PassOption.ACROSS,
        "last_lanes": 1,
    },
    "held must be in 1..1, not 0": {"options": PassOption.BY_ROW},
    "held must be in 1..1, not 2": {"held": 2, "options": PassOption.BY_ROW},
}
UPDATES = {
    "words must be a multiple of 64, a block of packed copies, not 65": {"words": 65},
    "n must be in 1..2, not 3": {"n": 3, "m": 2},
    "m must be a power of two, not 12": {"m": 12},
}
GOOD_WALK = line(256, 8)
COPY = [Load(source=Source.ELEMENTS, walk=GOOD_WALK), Pass(words=2), Store(sink=Sink.RESULTS, walk=line(512, 8)), Halt()]
OPERAND = {
    "walk": Walk(base=256, size_log2=1, boundary=16, u_counter=Counter.INNER, u_size=8, u_tile=8, v_size=4, v_tile=4,
                 u=(Loop(count=8), *ONE), v=(Loop(count=4, delta=16), *ONE)),
    "group": 16, "shares": 2, "share_words": 1, "line_words": 1,
}  # fmt: skip
LOADED = [Load(source=Source.WEIGHTS, **OPERAND), Load(source=Source.ACTIVATIONS, **OPERAND)]
PRODUCT = Product(rounds=8, part_rounds=8, group_rounds=16, n=16, m=16, dense=1, weight_shares=2, weight_share_words=1,
                  weight_line_words=1, activation_shares=2, activation_share_words=1, activation_line_words=1)  # fmt: skip
SUMS = Pass(words=4, options=PassOption.FROM_SUMS, columns=4, column_tile=4, rows=4, row_tile=4)
SUMMED = [*LOADED, PRODUCT, SUMS, Store(sink=Sink.RESULTS, walk=line(0xC00, 16, 2)), Halt()]
UPDATE = Update(words=64, copies=PACKED_COPIES, n=2, m=8)
WEIGHTS, ACTIVATIONS = (Unit.READERS + load.source for load in LOADED)
DISAGREEMENTS = {
    "base + shares * share_words must be at most 409, the words of a bank, not 410": (0, {"base": 408}, WEIGHTS),
    "walk.boundary must be 16, not 8": (1, {"walk": replace(OPERAND["walk"], boundary=8)}, ACTIVATIONS),
    "WEIGHTS are loaded with base 0; the product reads 2": (2, {"weight_base": 2}, Unit.ARRAY),
    "WEIGHTS are loaded with shares 2; the product reads 1": (2, {"weight_shares": 1}, Unit.ARRAY),
    "WEIGHTS are loaded with share_words 1; the product reads 2": (2, {"weight_share_words": 2}, Unit.ARRAY),
    "ACTIVATIONS are loaded with line_words 1; the product reads 0": (2, {"activation_line_words": 0}, Unit.ARRAY),
    "ACTIVATIONS are loaded with word_step 1; the product reads 2": (2, {"activation_word_step": 2}, Unit.ARRAY),
    "ACTIVATIONS are loaded with spread 0; the product reads 4": (2, {"vectors": 4}, Unit.ARRAY),
    "WEIGHTS are loaded with outer 1; the product takes blocks of 2": (2, {"outer": 2}, Unit.ARRAY),
    "WEIGHTS are loaded with inner 1; the product takes blocks of 2": (
        2, {"rounds": 24, "part_rounds": 16, "inner": 2}, Unit.ARRAY
    ),
    "WEIGHTS are loaded with 8 positions in blocks of 8, which are not the product's 7 rounds in parts of 8": (
        2, {"rounds": 7}, Unit.ARRAY
    ),
    "ACTIVATIONS are loaded with 8 positions in blocks of 8, which are not the product's 8 rounds in parts of 8": (
        2, {"group_rounds": 8}, Unit.ARRAY
    ),
    "it takes outer 2; the product gives 1": (3, {"outer": 2, "columns": 8}, Unit.VECTOR),
    "it takes slot_rows 2; the product gives 1": (3, {"slot_rows": 2}, Unit.VECTOR),
    "it takes rows (3, 3); the product gives (4, 4)": (3, {"rows": 3}, Unit.VECTOR),
    "it takes columns (3, 3); the product gives (4, 4)": (3, {"columns": 3}, Unit.VECTOR),
}  # fmt: skip
# Three tiles of columns, whose weights are those of as many products, and sums that leave in two passes.
TURNED = [
    replace(LOADED[0], walk=replace(OPERAND["walk"], outer=3, u_counter=Counter.OUTER, v_counter=Counter.INNER, u_size=24,
                                    u=(Loop(count=8), Loop(count=3, delta=64), *ONE[1:]))),
    replace(LOADED[1], walk=replace(OPERAND["walk"], outer=3, v_counter=Counter.OUTER, v_size=12,
                                    v=(Loop(count=12, delta=16), *ONE))),
    replace(PRODUCT, outer=3),
    replace(SUMS, words=8, outer=2, columns=8),
    Store(sink=Sink.RESULTS, walk=line(0xC00, 32, 2)),
    SUMS,
    Store(sink=Sink.RESULTS, walk=line(0xD00, 16, 2)),
    Halt(),
]  # fmt: skip
DISAGREEMENTS_OF_SEVERAL = {
    "WEIGHTS are loaded with outer * middle 2; the product takes blocks of 3": (0, {"outer": 2}, Unit.ARRAY),
    "WEIGHTS are loaded with inner 2; the product takes blocks of 1": (0, {"inner": 2, "v_size": 8}, Unit.ARRAY),
    "WEIGHTS of several products are loaded for each of its tiles, whole; the product holds them or has parts": (
        2, {"weights_held": 1}, Unit.ARRAY
    ),
    "WEIGHTS are loaded with 23 positions in blocks of 8, which are not the product's 8 rounds in parts of 8": (
        0, {"u_size": 23}, Unit.ARRAY
    ),
    "WEIGHTS must be loaded in at most 4 lines for each inner count": (0, {"v_counter": Counter.MIDDLE}, Unit.ARRAY),
    "it takes columns (7, 4); the product gives (8, 4)": (3, {"columns": 7}, Unit.VECTOR),
    "it takes columns (6, 3); the product gives (8, 4)": (3, {"columns": 6, "column_tile": 3}, Unit.VECTOR),
    "it takes columns (5, 5); the product gives (4, 4)": (5, {"columns": 5, "column_tile": 5}, Unit.VECTOR),
    "it takes outer 2; the product gives 1": (5, {"columns": 8, "outer": 2}, Unit.VECTOR),
}  # fmt: skip
# A sum of 32 terms in two passes that leave their results, too.
PART = Pass(words=16, options=PassOption.BESIDE, groups=1, terms=16)
GOING_ON = [
    Load(source=Source.ELEMENTS, walk=line(256, 64)),
    PART,
    Store(sink=Sink.RESULTS, walk=line(0xC00, 64)),
    Load(source=Source.ELEMENTS, walk=line(384, 64)),
    replace(PART, results=1),
    Store(sink=Sink.RESULTS, walk=line(0xD00, 64)),
    Store(sink=Sink.RESULTS, walk=line(0xE00, LANES, 2)),
    Halt(),
]
ORDERS = {
    "LOAD: no PRODUCT takes the WEIGHTS that were loaded before": ([*LOADED[:1], *SUMMED], 1, WEIGHTS),
    "PRODUCT: no LOAD brings its ACTIVATIONS": ([LOADED[0], *SUMMED[2:]], 1, Unit.ARRAY),
    "PRODUCT: no PASS takes the sums of the PRODUCT before": ([*SUMMED[:3], *SUMMED], 5, Unit.ARRAY),
    "PASS: no PRODUCT gives its sums": (SUMMED[3:], 0, Unit.VECTOR),
    "HALT: no PRODUCT takes WEIGHTS and ACTIVATIONS": ([*LOADED, Halt()], 2, Unit.ARRAY),
    "HALT: no PASS takes the sums of a PRODUCT": ([*SUMMED[:3], Halt()], 3, Unit.ARRAY),
    "HALT: no PASS ends the reduction that goes on": ([*GOING_ON[:3], Halt()], 3, Unit.ARRAY),
    "PASS: terms must be at least 16 where a reduction goes on, not 8": (
        [*GOING_ON[:4], replace(PART, words=8, terms=8, results=1), *GOING_ON[5:]],
        4,
        Unit.VECTOR,
    ),
    "PASS: a reduction of 1 words a term goes on beside results; it has 2": (
        [*GOING_ON[:4], replace(PART, words=32, groups=2, results=2, held_block=2), *GOING_ON[5:]],
        4,
        Unit.VECTOR,
    ),
    "PASS: a reduction goes on beside results; without them it does not": (
        [*GOING_ON[:4], replace(PART, options=0, results=1), *GOING_ON[5:]],
        4,
        Unit.VECTOR,
    ),
}


def with_field(command, name, value):
    """The command with the field of this dotted name changed."""
    first, _, rest = name.partition(".")
    part = getattr(command, first)
    if not rest:
        return replace(command, **{first: value})
    if isinstance(part, tuple):
        number, _, rest = rest.partition(".")
        return replace(command, **{first: tuple(with_field(loop, rest, value) if place == int(number) else loop
                                                for place, loop in enumerate(part))})  # fmt: skip
    return replace(command, **{first: with_field(part, rest, value)})


def beyond_ranges(program, number, unit):
    """For each field of a command that has a range, the numbers beside its ends that the field's bits can hold."""
    kind, command = type(program[number]), program[number]
    for field in layout(kind):
        found = ranges(TINY, kind)[field.name]
        lowest, highest = (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
        for value in () if found is None else (found[0] - 1, found[1] + 1):
            if lowest <= value <= highest:
                wrong = [*program[:number], with_field(command, field.name, value), *program[number + 1 :]]
                yield f"{kind.OPCODE.name}: {field.name} must be in {found[0]}..{found[1]}, not {value}", wrong, number, unit


def cases():
    """What is said, the program, which of its commands is wrong, and the unit."""
    load, passed, store, halt = COPY
    for number, unit in enumerate((ELEMENTS, Unit.VECTOR, RESULTS)):
        yield from beyond_ranges(COPY, number, unit)
    yield from beyond_ranges(SUMMED, 1, ACTIVATIONS)
    yield from beyond_ranges(SUMMED, 2, Unit.ARRAY)
    yield from beyond_ranges([UPDATE, halt], 0, Unit.VECTOR)
    for said, changes in WALKS.items():
        yield f"LOAD: {said}", [replace(load, walk=replace(GOOD_WALK, **changes)), passed, store, halt], 0, ELEMENTS
    for said, changes in list(WALKS.items())[::5]:
        yield f"STORE: {said}", [load, passed, replace(store, walk=replace(GOOD_WALK, **changes)), halt], 2, RESULTS
    for said, changes in PRODUCTS.items():
        yield f"PRODUCT: {said}", [*LOADED, replace(PRODUCT, **changes), *SUMMED[3:]], 2, Unit.ARRAY
    for said, (number, changes, unit) in DISAGREEMENTS.items():
        wrong = replace(SUMMED[number], **changes)
        yield f"{wrong.OPCODE.name}: {said}", [*SUMMED[:number], wrong, *SUMMED[number + 1 :]], number, unit
    for said, (number, changes, unit) in DISAGREEMENTS_OF_SEVERAL.items():
        part, told = TURNED[number], max(number, 2)  # a load is told by its product
        wrong = replace(part, walk=replace(part.walk, **changes)) if isinstance(part, Load) else replace(part, **changes)
        program = [*TURNED[:number], wrong, *TURNED[number + 1 :]]
        yield f"{program[told].OPCODE.name}: {said}", program, told, unit
    for said, (program, number, unit) in ORDERS.items():
        yield said, program, number, unit
    for said, changes in PASSES.items():
        yield f"PASS: {said}", [load, replace(passed, **changes), store, halt], 1, Unit.VECTOR
    for said, changes in UPDATES.items():
        yield f"UPDATE: {said}", [replace(UPDATE, **changes), halt], 0, Unit.VECTOR


def test_each_field_of_each_command_has_a_range():
    """Whoever adds a field says in `hw.isa.bounds` what it may be; what the default is, it may be."""
    for kind in (*COMMANDS.values(), Walk, Loop):
        for name, found in ranges(TINY, kind).items():
            default = next((field.default for field in fields(kind) if field.name == name), None)
            assert found is None or default is None or found[0] <= default <= found[1], (kind, name)
        told = {name for part, named in BOUNDS.items() if part is kind for name in named}
        assert told <= {field.name for field in fields(kind)}, "the table has what is no field"
    with pytest.raises(LookupError, match=r"^hw\.isa\.bounds\.BOUNDS says nothing of Pass\.mystery: give its range"):
        field_range(TINY, Pass, "mystery")


def test_executors_refuse_them():
    for said, program, number, _ in cases():
        with pytest.raises(InputError) as refused:
            Executor(TINY, np.zeros(1 << 16, np.uint8)).run(program)
        assert str(refused.value) == f"command {number}, {said}"
        with pytest.raises(InputError) as refused:
            execute(TINY, program, Memory())
        assert str(refused.value) == said


def test_the_accelerator_stops_at_them():
    """Long before the watchdog, with the unit and the command; what follows runs."""
    memory = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    programs = [encode(part) for _, program, *_ in cases() for part in (program, COPY)]
    outcomes = run(TINY, memory, programs, watchdog_cycles=100_000)
    for (said, _, number, unit), bad, good in zip(cases(), outcomes[::2], outcomes[1::2], strict=True):
        assert (bad.error, bad.registers["error_unit"]) == (ErrorCode.ILLEGAL_FIELD, unit), said
        assert bad.registers["cycles"] < 3000, said
        assert number < bad.registers["error_command"], said
        assert good.error is ErrorCode.NONE, said


@pytest.mark.parametrize("program", [SUMMED, TURNED, GOING_ON], ids=["one", "several", "parts"])
def test_sums_are_those_of_the_program(program):
    """The programs whose commands the others change run everywhere."""
    memory = np.random.default_rng(0).standard_normal(2048).astype(np.float16).view(np.uint8)
    machine = Executor(TINY, memory)
    machine.run(program)
    (outcome,) = run(TINY, memory, [encode(program)])
    assert outcome.error is ErrorCode.NONE
    assert np.array_equal(outcome.memory, machine.memory)
    assert outcome.registers["cycles"] == execute(TINY, program, DEFAULT_TIMING, program_address(memory)).cycles


def test_what_is_skipped_does_not_depend_on_timing():
    """Between a pass that watches for overflows and what is conditional there is a synchronisation."""
    load, passed, store, halt = COPY
    watched, skipped = replace(passed, options=PassOption.NOTE_OVERFLOW), replace(store, conditional=True)
    said = "STORE: a SYNC must be between a PASS with note_overflow and what is conditional"
    with pytest.raises(InputError, match=f"^command 2, {said}$"):
        Executor(TINY, np.zeros(1024, np.uint8)).run([load, watched, skipped, halt])
    with pytest.raises(InputError, match=f"^{said}$"):
        execute(TINY, [load, watched, skipped, halt], Memory())
    programs = [encode([load, watched, last, halt]) for last in (skipped, store)]
    outcomes = run(TINY, np.zeros(4096, np.uint8), programs, watchdog_cycles=3000)
    assert [outcome.error for outcome in outcomes] == [ErrorCode.ILLEGAL_COMMAND, ErrorCode.NONE]
