"""The machine's units against the same of the RTL: everything in the same cycle."""

import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from dataflow.machine.timing import Memory
from hw.accelerator.array_unit import ArrayUnit
from hw.config import AcceleratorConfig
from hw.isa.commands import LOOPS, Load, Loop, Pass, Product, layout

sys.path += [str(Path(__file__).parents[1] / "hw" / folder) for folder in ("accelerator", "dma")]

from machine_parts import END_OF_BLOCK, LAST, copies, sums
from test_array_unit import LONG, SMALL, WIDE, Case
from test_dma import BASE, LANES, Copy, flat, words_of
from test_walker import as_init, random_walk


class PunctualMemory:
    """The memory of ``sim/harness/sat_bench.sv`` in the Amaranth simulator, without contents."""

    def __init__(self, dut, memory):
        self.dut, self.memory = dut, memory

    async def serve(self, ctx):
        dut, latency, interval = self.dut, self.memory.latency_cycles, self.memory.interval_cycles
        reads, writes, answers = deque(), deque(), deque()
        next_read = next_write = done = cycle = 0
        names = ("arvalid", "arid", "arlen", "awvalid", "awid", "wvalid", "wlast", "arready", "wready")
        signals = [getattr(dut, f"m_axi_{name}") for name in names]
        ctx.set(dut.m_axi_awready, 1)
        while True:
            arvalid, arid, arlen, awvalid, awid, wvalid, wlast, arready, wready = (await ctx.tick().sample(*signals))[2:]
            ctx.set(dut.m_axi_arready, len(reads) < 64)
            if arvalid and arready:
                reads.append((arid, arlen, cycle + latency))
            if awvalid:
                writes.append(awid)
            ctx.set(dut.m_axi_rvalid, 0)
            if reads and cycle >= reads[0][2] and cycle >= next_read:
                ctx.set(dut.m_axi_rvalid, 1)
                ctx.set(dut.m_axi_rid, reads[0][0])
                ctx.set(dut.m_axi_rlast, done == reads[0][1])
                next_read, done = cycle + interval, done + 1
                if done > reads[0][1]:
                    reads.popleft()
                    done = 0
            if wvalid and wready:
                if wlast:
                    answers.append((writes.popleft(), cycle + latency))
                next_write = cycle + interval
            ctx.set(dut.m_axi_wready, bool(writes) and cycle + 1 >= next_write)
            ctx.set(dut.m_axi_bvalid, 0)
            if answers and cycle >= answers[0][1]:
                ctx.set(dut.m_axi_bvalid, 1)
                ctx.set(dut.m_axi_bid, answers.popleft()[0])
            cycle += 1


def copies_of_rtl(config, walks, memory, cycles=30000):
    """Cycles in which `Copy` asks for bursts, in which beats come and go, and in which its writers' walks are complete."""
    dut, seen, complete = Copy(config), {"ar": [], "aw": [], "r": [], "w": [], "b": []}, ([], [])

    def feeder(name):
        async def feed(ctx):
            port = getattr(dut, name)
            for walk in walks[name]:
                ctx.set(port.payload, as_init(walk))
                ctx.set(port.valid, 1)
                while not (await ctx.tick().sample(port.ready))[2]:
                    pass
            ctx.set(port.valid, 0)

        return feed

    async def watch(ctx):
        quiet = 0
        valid = [getattr(dut, f"m_axi_{name}valid") for name in seen]
        ready = [getattr(dut, f"m_axi_{name}ready") for name in seen]
        for cycle in range(cycles):
            idle, done, *values = (await ctx.tick().sample(dut.idle, dut.complete, *valid, *ready))[2:]
            for number in range(2):
                if done >> number & 1:
                    complete[number].append(cycle)
            for number, name in enumerate(seen):
                if values[number] and values[number + len(seen)]:
                    seen[name].append(cycle)
            quiet = quiet + 1 if idle else 0
            if quiet > 20:
                return
        raise AssertionError("not idle in time")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for name in walks:
        simulator.add_testbench(feeder(name))
    simulator.add_testbench(PunctualMemory(dut, memory).serve, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    return seen | {"complete": list(complete)}


@pytest.mark.parametrize("memory", [Memory(20, 1), Memory(0, 1), Memory(7, 3)])
@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("seed", range(2))
def test_readers_and_writers_keep_the_rtls_cycles(bits, seed, memory):
    random = Random(100 * bits + seed)
    config = AcceleratorConfig(name="c", rows=2, columns=2, axi_data_bits=bits, axi_burst_beats=4, axi_fifo_beats=8)
    walks, place = {f"{kind}_{number}": [] for kind in ("read", "write") for number in range(2)}, 1 << 15
    for number in range(2):
        for _ in range(4):
            walk = replace(random_walk(random), boundary=LANES)
            size = 1 << walk.size_log2
            count = len(words_of(walk, bytes(1 << 16))) * LANES - random.randrange(LANES)
            walks[f"read_{number}"].append(walk)
            walks[f"write_{number}"].append(flat(place + random.randrange(8) * size, walk.size_log2, count))
            place += -(-(count * size + 64) // 64) * 64
    assert BASE % 4096 == 0
    seen = copies(config, memory, walks, LANES)
    assert seen == copies_of_rtl(config, walks, memory)
    assert [len(cycles) for cycles in seen["complete"]] == [4, 4]


def test_bursts_of_one_beat_keep_the_port_busy():
    """100 words of a beat, 64 bytes apart: a beat a cycle each way, from when the memory's latency of 40 cycles has passed."""
    config = AcceleratorConfig(name="c", rows=2, columns=2, axi_data_bits=64, axi_burst_beats=16, axi_fifo_beats=64)
    apart = (Loop(count=100, delta=64), *(Loop(),) * (LOOPS - 1))
    read = replace(flat(0, 1, LANES), v_size=100, v_tile=100, v=apart)
    walks = {"read_0": [read], "write_0": [replace(read, base=1 << 14)], "read_1": [], "write_1": []}
    seen = copies_of_rtl(config, walks, Memory(40, 1))
    assert seen == copies(config, Memory(40, 1), walks, LANES)
    for channel in ("ar", "r", "aw", "w", "b"):
        assert seen[channel] == list(range(seen[channel][0], seen[channel][0] + 100)), channel


def sums_of_rtl(config, streams, words):
    """Cycles in which words of sums are taken of the array unit, with all that it needs always there; of what it waited for."""
    dut, cycles, waits = ArrayUnit(config), [], {"waits_operands": 0, "waits_room": 0, "waits_free": 0}
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    def feeder(name, values):
        async def feed(ctx):
            port = getattr(dut, f"i_{name}")
            for value in values:
                ctx.set(Value.cast(port.payload), port.payload.shape().const(value).as_value().value)
                ctx.set(port.valid, 1)
                while not (await ctx.tick().sample(port.ready))[2]:
                    pass
            ctx.set(port.valid, 0)

        return feed

    async def take(ctx):
        ctx.set(dut.o.ready, 1)
        for cycle in range(100_000):
            valid, *seen = (await ctx.tick().sample(dut.o.valid, *(getattr(dut, name) for name in waits)))[2:]
            for name, high in zip(waits, seen, strict=True):
                waits[name] += high
            if valid:
                cycles.append(cycle)
            if len(cycles) == words:
                return
        raise AssertionError("not done in time")

    for name, values in streams.items():
        simulator.add_testbench(feeder(name, values))
    simulator.add_testbench(take)
    simulator.run()
    return cycles, waits


def sums_of_model(config, streams):
    kinds = {"product": Product, "tiles": Pass, "weights_load": Load, "activations_load": Load}
    commands = [[kind(**value) for value in streams[name]] for name, kind in kinds.items()]
    chunks = [
        [END_OF_BLOCK * value["end_of_block"] | LAST * value["last"] for value in streams[name]]
        for name in ("weights", "activations")
    ]
    found = sums(config, commands, chunks)
    return found.pop("cycles"), found


@pytest.mark.parametrize(
    ("config", "seed"),
    [(SMALL, 1), (SMALL, 2), (WIDE, 3), (WIDE, 4), (LONG, 5)],
    ids=["small-1", "small-2", "wide-3", "wide-4", "long"],
)
def test_the_array_unit_keeps_the_rtls_cycles(config, seed):
    random = Random(seed)
    cases = [Case(config, random) for _ in range(4)]
    streams = {
        "product": [{field.name: getattr(case.product(), field.name) for field in layout(Product)} for case in cases],
        "tiles": [case.tiles() for case in cases],
    }
    for side, name in enumerate(("weights", "activations")):
        streams[f"{name}_load"] = [case.placement(side) for case in cases]
        streams[name] = [chunk for case in cases for chunk in case.chunks(side)]
    words = sum(len(list(case.expected())) for case in cases)
    cycles, waits = sums_of_model(config, streams)
    rtl_cycles, rtl_waits = sums_of_rtl(config, streams, words)
    assert cycles == rtl_cycles
    assert waits == {name: rtl_waits[name] for name in waits}
