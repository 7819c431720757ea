"""Streams of a component fed and emptied under random stalls, with the stream contract checked at every cycle.

One test body runs on either simulator: `on_amaranth` or `on_verilog`.
"""

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from sim.rtl.streams import Phase, Traffic, play_phases

IDLE_CYCLES = 400
TAIL_CYCLES = 6


def on_verilog(dut, phases, *, stall=0.0, seed=0):
    """`Traffic` of phases one after another on the component's Verilog, under Verilator."""
    return play_phases(dut, phases, stall_probability=stall, seed=seed)


def on_amaranth(dut, phases, *, stall=0.0, seed=0):
    """`Traffic` of phases one after another in Amaranth's simulator.

    A word offered must stay until it is taken, and nothing may follow the words that are due. A source that waits for its turn
    shows anything at all as payload.
    """
    rng = np.random.default_rng(seed)
    traffics = []

    async def bench(ctx):
        for phase in phases:
            for name, value in phase.inputs.items():
                ctx.set(Value.cast(getattr(dut, name)), value)
            traffics.append(await _phase(ctx, dut, phase.sources, phase.sinks, stall, rng))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return traffics


def run(dut, sources, sinks, *, inputs=None, on=on_amaranth, **options):
    """Feed each source its words until each sink gave its number of words; the `Traffic` by stream name."""
    return on(dut, [Phase(sources, sinks, inputs or {})], **options)[0]


async def _phase(ctx, dut, sources, sinks, stall, rng):
    traffic = {name: Traffic() for name in (*sources, *sinks)}
    ports = {name: getattr(dut, name) for name in traffic}
    signals = [Value.cast(signal) for port in ports.values() for signal in (port.valid, port.ready, port.payload)]
    offering, held = dict.fromkeys(sources, False), {}
    cycle, idle, after = 0, 0, 0
    while after < TAIL_CYCLES:
        for name, words in sources.items():
            done = len(traffic[name].words)
            offering[name] = done < len(words) and (offering[name] or rng.random() >= stall)
            ctx.set(ports[name].valid, offering[name])
            payload = Value.cast(ports[name].payload)
            ctx.set(payload, words[done] if offering[name] else int.from_bytes(rng.bytes(len(payload) // 8 + 1), "big"))
        for name in sinks:
            ctx.set(ports[name].ready, rng.random() >= stall)
        sampled = (await ctx.tick().sample(*signals))[2:]
        idle += 1
        for name, (valid, ready, payload) in zip(ports, zip(*[iter(sampled)] * 3, strict=True), strict=True):
            if name in held:
                assert valid and payload == held.pop(name), f"{name} did not hold its word in cycle {cycle}"
            if name in sinks and valid and not ready:
                held[name] = payload
            if valid and ready:
                traffic[name].words.append(payload)
                traffic[name].cycles.append(cycle)
                offering[name] = False
                idle = 0
        cycle += 1
        assert idle < IDLE_CYCLES, {name: len(stream.words) for name, stream in traffic.items()}
        due = {name: len(words) for name, words in sources.items()} | sinks
        after += all(len(traffic[name].words) >= count for name, count in due.items())
    for name, count in sinks.items():
        assert len(traffic[name].words) == count, f"{name} gave {len(traffic[name].words)} words, not {count}"
    return traffic


def any_bits(form, count, rng):
    """Numbers of a format: a third of them ends of its ranges, zeros, infinities and NaN, a third near 1, the rest any."""
    normal, one = 1 << form.mantissa_bits, form.bias << form.mantissa_bits
    ends = [0, 1, normal - 1, normal, one, form.infinity - 1, form.infinity, form.infinity + 1, form.quiet_nan]
    near = one + rng.integers(-4 * normal, 4 * normal, count)
    magnitude = np.choose(
        rng.integers(0, 3, count), [rng.choice(ends, count), near, rng.integers(0, 1 << form.width - 1, count)]
    )
    return (magnitude | rng.integers(0, 2, count) << form.width - 1).astype(np.uint32)


def join_fields(fields):
    """(value, width) pairs, lowest first, as one integer."""
    word = position = 0
    for value, width in fields:
        word |= int(value) << position
        position += width
    return word


def split_fields(word, widths):
    """The fields of an integer, lowest first."""
    values = []
    for width in widths:
        values.append(word & ((1 << width) - 1))
        word >>= width
    return values
