"""What is assumed of an environment and asserted of a block, to be written into a property."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value

from hw.parts.delay_line import delay


def passes(port):
    """A word passes."""
    return port.valid & port.ready


def anything(m, port):
    """Offer anything at any time to an input stream, and take it back as well: more than the contract allows."""
    payload = Value.cast(port.payload)
    m.d.comb += [port.valid.eq(AnySeq(1)), payload.eq(AnySeq(len(payload)))]


def offer(m, port, name):
    """Offer anything at any time to an input stream, as the contract has it."""
    anything(m, port)
    _hold(m, port, name, Assume)


def take(m, port, name):
    """Take the words of an output stream at any time, and assert its contract."""
    m.d.comb += port.ready.eq(AnySeq(1))
    _hold(m, port, name, Assert)


def _hold(m, port, name, statement):
    """Valid and payload hold until the word is taken."""
    payload = Value.cast(port.payload)
    waits, word = Signal(name=f"{name}_waits"), Signal(len(payload), name=f"{name}_word")
    held = port.valid & ~port.ready
    m.d.sync += [waits.eq(held), word.eq(Mux(held, payload, 0))]
    m.d.comb += statement(~waits | port.valid & (payload == word))


def follow(m, i, o, capacity, change=lambda payload: payload):
    """Nothing is lost, made up, doubled or exchanged between `i` and `o`, of which at most `capacity` words are inside.

    Any one word is followed, by how many words are before it: when it is its turn, `o` must show it, as `change` makes it.
    """
    inside, before = Signal(range(capacity + 2)), Signal(range(capacity + 2))
    followed, word = Signal(), Signal(len(Value.cast(o.payload)))
    m.d.sync += inside.eq(inside + passes(i) - passes(o))
    m.d.comb += [
        Assert(inside <= capacity),
        Assert(~o.valid | (inside != 0)),
        Assert(~followed | (before < inside)),
        Assert(~(o.valid & followed & (before == 0)) | (Value.cast(o.payload) == word)),
    ]
    with m.If(passes(o)):
        m.d.sync += [before.eq(before - 1), followed.eq(followed & (before != 0))]
    with m.If(passes(i) & ~followed & AnySeq(1)):
        m.d.sync += [followed.eq(1), before.eq(inside - passes(o)), word.eq(change(Value.cast(i.payload)))]
    return inside


def never_longer(m, condition, cycles):
    """`condition` is never high for more than `cycles` cycles on end: with what should happen meanwhile, no deadlock."""
    count = Signal(range(cycles + 2))
    m.d.sync += count.eq(Mux(condition, count + 1, 0))
    m.d.comb += Assert(~condition | (count < cycles))


def delayed(m, valid, payload, o, latency_cycles):
    """`o` shows what was taken (`valid`) `latency_cycles` cycles ago in which it was free or taken: a pipeline, to the cycle.

    From this follows all of `follow` and `never_longer`; it suits induction, as nothing but the last few cycles matters.
    """
    en = ~o.valid | o.ready
    was_valid = delay(m, en, valid, latency_cycles, "was_valid", reset=True)
    was_payload = delay(m, en, payload, latency_cycles, "was_payload")
    m.d.comb += [
        Assert(en | ~valid),
        Assert(o.valid == was_valid),
        Assert(~o.valid | (Value.cast(o.payload) == was_payload)),
    ]


def ever_ready(block, inner):
    """A planted fault, to be returned by ``elaborate``: `block` is `inner`, but takes words whether it has room or not."""
    m = Module()
    m.submodules.inner = inner
    m.d.comb += [
        inner.i.payload.eq(block.i.payload),
        inner.i.valid.eq(block.i.valid),
        block.i.ready.eq(1),
        block.o.payload.eq(inner.o.payload),
        block.o.valid.eq(inner.o.valid),
        inner.o.ready.eq(block.o.ready),
    ]
    return m
