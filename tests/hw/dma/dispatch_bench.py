"""A cocotb bench to read and copy: a program's words in, and at each of the dispatcher's streams the commands of its unit."""

from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from hw.buffers.operands import placement_layout
from hw.config import PRESETS
from hw.isa.bits import PassOption
from hw.isa.commands import Halt, Load, Loop, Pass, Product, Sink, Source, Store, Update, Walk
from hw.isa.encoding import encode
from hw.isa.registers import Unit
from hw.parts.layouts import bound_layout, walk_layout
from sim.kit import StreamSink, StreamSource, at_random, check_words, reset, within

TINY, UPDATE_BITS = PRESETS["tiny"], 192
UNITS = [f"walk_{one.name.lower()}" for one in (*Source, *Sink) if one is not Source.FETCH]
STREAMS = [*UNITS, "place_weights", "place_activations", "product", "tiles", "work"]
LEVELS = {"quiet": 1, "settled": 1, "fetched": 0, "overflow": 0, "stored": 0, "begins": 0}
"""What the rest of the accelerator says: all is idle, and the program's words are coming."""


def walk(base, boundary=4):
    return Walk(base=base, boundary=boundary, u=(Loop(count=7), *(Loop(),) * 3))


# A product of one number by one, whose commands go together; a dispatcher stops where they do not.
OPERAND = {"walk": walk(0x100, boundary=16), "group": 16, "shares": 2, "share_words": 8, "line_words": 8}
PROGRAM = [
    Load(source=Source.WEIGHTS, **OPERAND),
    Load(source=Source.ELEMENTS, walk=walk(0x200)),
    Load(source=Source.ACTIVATIONS, **OPERAND),
    Product(
        group_rounds=16, n=16, m=16, dense=1, weight_shares=2, weight_share_words=8, weight_line_words=8, activation_shares=2,
        activation_share_words=8, activation_line_words=8,
    ),
    Pass(options=PassOption.FROM_SUMS),
    Store(sink=Sink.RESULTS, walk=walk(0x300)),
    Pass(words=5),
    Update(words=6),
    Load(source=Source.GATE, walk=walk(0x400)),
    Halt(),
]  # fmt: skip


def words(program):
    data = encode(program)
    return [int.from_bytes(data[place : place + 4], "little") for place in range(0, len(data), 4)]


def body(command):
    """A command's fields as a number: its words behind the header, the first one lowest."""
    return int.from_bytes(encode([command])[4:], "little")


def in_bounds(layout, part):
    """A command's fields, or some of them, as the narrower layout of a stream has them."""
    fields = {name: getattr(part, name) for name, _ in layout}
    for name in {"u", "v"} & {*fields}:
        fields[name] = [{key: getattr(loop, key) for key, _ in layout[name].shape.elem_shape} for loop in fields[name]]
    return layout.const(fields).as_bits()


def low(number, bits):
    return number & (1 << bits) - 1


async def begin(dut, pause=0.0):
    """A design after a reset, with a program under way; its input, and all that it gives."""
    for name, level in LEVELS.items():
        getattr(dut, name).value = level
    source = StreamSource(dut, "i", pause=at_random(pause, seed=1))
    sinks = {name: StreamSink(dut, name, pause=at_random(pause, seed=seed)) for seed, name in enumerate(STREAMS)}
    await reset(dut)
    dut.begins.value = 1
    await FallingEdge(dut.clk)
    dut.begins.value = 0
    return source, sinks


@cocotb.test
async def hands_commands_to_their_units(dut):
    source, sinks = await begin(dut, pause=0.4)
    source.start(words(PROGRAM))
    await within(RisingEdge(dut.done), 5000, dut.clk, "done")
    weights, elements, activations, product, sums, store, step, update, gate, _ = PROGRAM
    walks = {"weights": weights, "elements": elements, "activations": activations, "gate": gate, "results": store}
    due = {f"walk_{name}": [in_bounds(walk_layout(TINY), command.walk)] for name, command in walks.items()}
    due |= {f"place_{name}": [in_bounds(placement_layout(TINY), walks[name])] for name in ("weights", "activations")}
    due |= {
        "product": [in_bounds(bound_layout(TINY, Product), product)],
        "work": [body(sums) << 1, body(step) << 1, body(update) << 1 | 1],
    }
    *passes, last = sinks["work"].words
    sinks["work"].words = [*passes, low(last, 1 + UPDATE_BITS)]  # what is above has no meaning in the shorter command
    assert len(sinks.pop("tiles").words) == 1
    for name, sink in sinks.items():
        check_words(sink.words, due.get(name, []))
    assert int(dut.commands.value) == len(PROGRAM)


@cocotb.test
async def loads_wait_for_what_they_read(dut):
    source, sinks = await begin(dut)
    source.start(words([Load(source=Source.ELEMENTS, walk=walk(0), after=2), Load(source=Source.GATE, walk=walk(0)), Halt()]))
    await sinks["walk_gate"].take(1)
    for stored in (1, 2):
        await ClockCycles(dut.clk, 50)
        assert not sinks["walk_elements"].words, f"{stored - 1} of 2 results are stored"
        await FallingEdge(dut.clk)
        dut.stored.value = 1
        await FallingEdge(dut.clk)
        dut.stored.value = 0
    await sinks["walk_elements"].take(1, limit_cycles=20)


@cocotb.test
async def stops_at_what_is_no_command(dut):
    source, sinks = await begin(dut)
    taken = source.start([*words(PROGRAM[1:2]), 0x0100007F, *words(PROGRAM[2:])])
    await within(RisingEdge(dut.illegal), 500, dut.clk, "illegal")
    await ClockCycles(dut.clk, 50)
    assert not taken.done()
    assert not sinks["product"].words
    assert int(dut.commands.value) == 2
    taken.cancel()


@cocotb.test
async def stops_at_what_does_not_go_together(dut):
    """A product that reads its weights elsewhere."""
    source, _ = await begin(dut)
    taken = source.start(words([*PROGRAM[:3], replace(PROGRAM[3], weight_base=8), *PROGRAM[4:]]))
    await within(RisingEdge(dut.wrong), 1000, dut.clk, "wrong")
    assert (int(dut.wrong_unit.value), int(dut.commands.value)) == (Unit.ARRAY, 4)
    await ClockCycles(dut.clk, 50)
    assert not taken.done()
    taken.cancel()


@cocotb.test
async def tells_of_a_program_without_an_end(dut):
    source, _ = await begin(dut)
    await source.start(words(PROGRAM[:-1]))
    assert not int(dut.endless.value)
    dut.fetched.value = 1
    await within(RisingEdge(dut.endless), 100, dut.clk, "endless")
