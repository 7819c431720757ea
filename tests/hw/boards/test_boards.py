"""The design around the accelerator: the serial line, requests, the memory; in Amaranth's simulator."""

import struct
from dataclasses import replace
from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.boards.bridge import HostBridge
from hw.boards.memory import BoardMemory
from hw.boards.serial import Receiver, Transmitter
from hw.boards.top import check_serial
from hw.config import PRESETS
from hw.errors import InputError

TINY = PRESETS["tiny"]
SIZE = 4096


def simulate(dut, *benches):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


class Line(wiring.Component):
    """A transmitter and a receiver, each with its own length of a bit."""

    def __init__(self, sent, taken):
        self.sender, self.taker = Transmitter(sent), Receiver(taken)
        super().__init__({"byte": In(8), "valid": In(1), "ready": Out(1), "got": Out(8), "came": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules += [self.sender, self.taker]
        m.d.comb += [
            self.sender.i.payload.eq(self.byte),
            self.sender.i.valid.eq(self.valid),
            self.ready.eq(self.sender.i.ready),
        ]
        m.d.comb += [self.taker.line.eq(self.sender.line), self.got.eq(self.taker.byte), self.came.eq(self.taker.valid)]
        return m


@pytest.mark.parametrize(("sent", "taken"), [(4, 4), (25, 25), (25, 26), (50, 49)])
def test_bytes_cross_a_line(sent, taken):
    """One behind the other, with clocks that differ by some percent, too."""
    dut, sending, came = Line(sent, taken), [0, 255, 0x55, 0xAA, *Random(0).randbytes(12)], []

    async def send(ctx):
        ctx.set(dut.valid, 1)
        for byte in sending:
            ctx.set(dut.byte, byte)
            await ctx.tick().until(dut.ready)
        ctx.set(dut.valid, 0)
        await ctx.tick().repeat(12 * sent)

    async def take(ctx):
        while len(came) < len(sending):
            *_, got = await ctx.tick().sample(dut.got).until(dut.came)
            came.append(got)

    simulate(dut, send, take)
    assert came == sending


def test_spikes_and_frames_without_a_stop_bit_are_dropped():
    dut, came = Receiver(8), []

    async def bench(ctx):
        async def hold(level, cycles):
            ctx.set(dut.line, level)
            for _ in range(cycles):
                _, _, valid, byte = await ctx.tick().sample(dut.valid, dut.byte)
                if valid:
                    came.append(byte)

        await hold(1, 20)
        await hold(0, 2)
        await hold(1, 100)
        await hold(0, 79)
        await hold(1, 100)
        for level in (0, 1, 0, 1, 1, 0, 0, 1, 0, 1):
            await hold(level, 8)
        await hold(1, 20)

    simulate(dut, bench)
    assert came[-1] == 0b01001101
    assert len(came) == 1


def test_the_memory_holds_what_both_sides_wrote():
    """Bursts with stalls on all channels beside a host's bytes; both see one memory, and nothing is beyond it."""
    dut, random = BoardMemory(TINY, SIZE), Random(1)
    held, beat = bytearray(SIZE), TINY.axi_data_bytes

    async def answered(ctx, channel, **values):
        """Offer something on a channel until it is taken."""
        for name, value in values.items():
            ctx.set(getattr(dut, f"axi_{channel}{name}"), value)
        ctx.set(getattr(dut, f"axi_{channel}valid"), 1)
        await ctx.tick().until(getattr(dut, f"axi_{channel}ready"))
        ctx.set(getattr(dut, f"axi_{channel}valid"), 0)
        await ctx.tick().repeat(random.choice((1, 1, 3)))

    async def store(ctx, address, beats, outside):
        await answered(ctx, "aw", addr=address, len=beats - 1, id=5)
        for number in range(beats):
            word, strobe = random.randbytes(beat), random.randrange(1 << beat)
            await answered(ctx, "w", data=int.from_bytes(word, "little"), strb=strobe, last=number == beats - 1)
            for lane in range(beat):
                if strobe >> lane & 1 and not outside:
                    held[address + number * beat + lane] = word[lane]
        ctx.set(dut.axi_bready, 1)
        *_, response, number = await ctx.tick().sample(dut.axi_bresp, dut.axi_bid).until(dut.axi_bvalid)
        ctx.set(dut.axi_bready, 0)
        assert (response, number) == (3 if outside else 0, 5)

    async def load(ctx, address, beats, outside):
        await answered(ctx, "ar", addr=address, len=beats - 1, id=9)
        for number in range(beats):
            ctx.set(dut.axi_rready, 0)
            await ctx.tick().repeat(random.randrange(3) + 1)
            ctx.set(dut.axi_rready, 1)
            read = (dut.axi_rdata, dut.axi_rresp, dut.axi_rid, dut.axi_rlast)
            *_, word, response, burst, last = await ctx.tick().sample(*read).until(dut.axi_rvalid)
            assert (response, burst, last) == (3 if outside else 0, 9, number == beats - 1)
            if not outside:
                place = address + number * beat
                assert word.to_bytes(beat, "little") == held[place : place + beat], hex(place)
        ctx.set(dut.axi_rready, 0)

    done = []

    async def port(ctx):
        for _ in range(60):
            beats = random.choice((1, 2, 5, 16))
            outside = random.random() < 0.2
            address = random.randrange(SIZE // 2 // beat - beats) * beat + SIZE * outside
            await random.choice((store, load))(ctx, address, beats, outside)
        done.append(True)

    async def host(ctx):
        """In the upper half, while the port is in the lower one; at the end it reads all."""
        mine, other = bytearray(SIZE // 2), Random(2)

        async def read(address):
            ctx.set(dut.host_address, address)
            ctx.set(dut.host_read, 1)
            await ctx.tick().until(dut.host_ready)
            ctx.set(dut.host_read, 0)
            return ctx.get(dut.host_read_data)

        while not done:
            place, byte = other.randrange(SIZE // 2), other.randrange(256)
            ctx.set(dut.host_address, SIZE // 2 + place)
            ctx.set(dut.host_data, byte)
            ctx.set(dut.host_write, 1)
            await ctx.tick()
            ctx.set(dut.host_write, 0)
            mine[place] = byte
            await ctx.tick().repeat(other.randrange(4) + 1)
            place = other.randrange(SIZE // 2)
            assert await read(SIZE // 2 + place) == mine[place]
        for place in range(0, SIZE // 2, 37):
            assert await read(place) == held[place]

    simulate(dut, port, host)
    assert any(held)


def test_requests_are_answered():
    """Registers and memory; unknown letters are skipped, and a request that does not end is forgotten."""
    dut = HostBridge(12, quiet_cycles=200)
    registers, memory, done = {8: 0x89ABCDEF}, bytearray(SIZE), []
    request = struct.Struct("<cII")

    async def answers(ctx):
        """Registers and memory."""
        for channel in ("ar", "aw", "w"):
            ctx.set(getattr(dut, f"m_axi_{channel}ready"), 1)
        async for _, _, read, write, asked, place, data, reads, writes, address, byte in ctx.tick().sample(
            dut.m_axi_arvalid, dut.m_axi_awvalid, dut.m_axi_araddr, dut.m_axi_awaddr, dut.m_axi_wdata,
            dut.read & dut.ready, dut.write, dut.address, dut.data,
        ):  # fmt: skip
            ctx.set(dut.m_axi_rvalid, read)
            ctx.set(dut.m_axi_rdata, registers.get(asked, 0))
            ctx.set(dut.m_axi_bvalid, write)
            if write:
                registers[place] = data
            if reads:
                ctx.set(dut.read_data, memory[address])
            if writes:
                memory[address] = byte
            ctx.set(dut.ready, not reads)

    async def host(ctx):
        async def say(data):
            for byte in data:
                ctx.set(dut.byte, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(3)

        async def hear(count):
            heard = []
            ctx.set(dut.o.ready, 1)
            for _ in range(count):
                *_, byte = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                heard.append(byte)
            ctx.set(dut.o.ready, 0)
            await ctx.tick().repeat(8)  # a byte takes longer to come
            return bytes(heard)

        async def ask(kind, address, number, data=b""):
            await say(request.pack(kind, address, number) + data)
            return int.from_bytes(await hear(4), "little")

        assert await ask(b"r", 8, 0) == 0x89ABCDEF
        assert await ask(b"w", 0x30, 0x12345678) == 0
        assert registers[0x30] == 0x12345678
        await say(b"\0x\xff")
        assert await ask(b"W", 0x123, 5, b"abc\xff\xfe") == sum(b"abc\xff\xfe")
        assert memory[0x120:0x12A] == b"\0\0\0abc\xff\xfe\0\0"
        assert await ask(b"W", 0, 0) == 0
        assert await ask(b"R", 0x122, 7) == 7
        assert await hear(7) == memory[0x122:0x129]
        assert await ask(b"R", 0, 0) == 0
        for half in (request.pack(b"W", 0, 9) + b"1234", b"r\0\0"):
            await say(half)
            await ctx.tick().repeat(300)
            assert await ask(b"r", 8, 0) == 0x89ABCDEF
        assert memory[:6] == b"1234\0\0"
        done.append(True)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_process(answers)
    simulator.add_testbench(host)
    simulator.run_until(5e-3)
    assert done


@pytest.mark.parametrize(
    ("config", "baud", "memory", "message"),
    [
        (TINY, 1_000_000, 5000, r"^memory must be a power of two in 4096..1073741824 bytes, not 5000$"),
        (TINY, 0, 4096, r"^baud must be at most 50000000, and within 2 % of clock_hz / a whole number"),
        (TINY, 60_000_000, 4096, r"^baud must be at most 50000000"),
        (TINY, 37_000_000, 4096, r"within 2 % of clock_hz / a whole number, 2e\+08 / 5, not 37000000$"),
        (
            replace(TINY, dram_channels=2),
            1_000_000,
            4096,
            r"^a serial design has one memory port: dram_channels must be 1",
        ),
    ],
)
def test_what_cannot_be_a_serial_design_is_refused(config, baud, memory, message):
    with pytest.raises(InputError, match=message):
        check_serial(config, baud, memory)
    assert check_serial(TINY, 1_000_000, 4096) == 200
