"""Streams of a component fed and emptied under random stalls, with the stream contract checked at every cycle."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

IDLE_CYCLES = 400


@dataclass
class Traffic:
    """What went through one stream: the words, and the cycle of each."""

    words: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)


def run(dut, sources, sinks, *, stall=0.0, seed=0, inputs=None, watch=()):
    """Feed each source its words until each sink gave its number of words, and see that nothing follows.

    Returns the `Traffic` by stream name, and the last value of each of the watched outputs. A word offered must stay until
    it is taken; a source that waits for its turn offers anything at all as payload.
    """
    rng = np.random.default_rng(seed)
    traffic = {name: Traffic() for name in (*sources, *sinks)}
    ports = {name: getattr(dut, name) for name in traffic}
    last = {}

    async def bench(ctx):
        for name, value in (inputs or {}).items():
            ctx.set(Value.cast(getattr(dut, name)), value)
        offering = dict.fromkeys(sources, False)
        held = {}
        cycle, idle, after = 0, 0, 0
        signals = [Value.cast(signal) for port in ports.values() for signal in (port.valid, port.ready, port.payload)]
        while after < 20:
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
                if name in sinks and name in held:
                    assert valid and payload == held.pop(name), f"{name} did not hold its word in cycle {cycle}"
                if name in sinks and valid and not ready:
                    held[name] = payload
                if valid and ready:
                    traffic[name].words.append(payload)
                    traffic[name].cycles.append(cycle)
                    idle = 0
            cycle += 1
            assert idle < IDLE_CYCLES, {name: len(stream.words) for name, stream in traffic.items()}
            complete = all(len(traffic[name].words) >= count for name, count in sinks.items())
            after += complete and all(len(traffic[name].words) == len(words) for name, words in sources.items())
        for name in watch:
            last[name] = ctx.get(Value.cast(getattr(dut, name)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for name, count in sinks.items():
        assert len(traffic[name].words) == count, f"{name} gave {len(traffic[name].words)} words, not {count}"
    return (traffic, last) if watch else traffic


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
