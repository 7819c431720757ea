"""What blocks with streams have in common: joining, forking, and a pipeline that holds while its output is held."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.parts.delay_line import delay


def join(m: Module, inputs: Mapping[stream.Interface, ValueLike], ready: Value) -> Signal:
    """Take one word from each of `inputs` that is in use, all in the same cycle, when `ready` is high and all have one.

    Parameters
    ----------
    m : Module
        Where the logic goes.
    inputs : mapping of stream to 1 bit
        The streams, and whether each is in use.
    ready : Value
        Whether words can be taken.

    Returns
    -------
    Signal
        Whether all that are in use have a word.
    """
    valid = Signal(name="all_valid")
    m.d.comb += valid.eq(Cat(port.valid | ~Value.cast(used) for port, used in inputs.items()).all())
    m.d.comb += [port.ready.eq(ready & valid & used) for port, used in inputs.items()]
    return valid


def advance(m: Module, valid: Value, o: stream.Interface, latency_cycles: int) -> Signal:
    """Drive ``o.valid`` of a pipeline whose registers are enabled by the signal that is returned.

    The pipeline takes a word, or a bubble where `valid` is low, in each cycle in which it is enabled; it holds while its last
    word is offered and not taken. A stall of `latency_cycles` or longer thus costs no more than its own length.
    """
    enable = Signal(name="advance")
    m.d.comb += o.valid.eq(delay(m, enable, valid, latency_cycles, "occupied", reset=True))
    m.d.comb += enable.eq(~o.valid | o.ready)
    return enable


class Fork(wiring.Component):
    """Gives each word of a stream to several, each of which takes it when it can.

    Parameters
    ----------
    width : int
        Bits of a word.
    outputs : int
        Number of streams it goes to.

    Members
    -------
    i : In(stream of width)
        Taken in the cycle in which the last of the outputs takes the word.
    o_0, o_1, … : Out(stream of width)
        Each offers each word once.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from a word offered at `i` to the same offered at the outputs, 0; between words: 1.
    """

    latency_cycles = 0
    interval_cycles = 1

    def __init__(self, width: int, outputs: int) -> None:
        self.outputs = outputs
        word = stream.Signature(width)
        super().__init__({"i": In(word), **{f"o_{number}": Out(word) for number in range(outputs)}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken = Signal(self.outputs)
        done = Signal(self.outputs)
        for number in range(self.outputs):
            port = getattr(self, f"o_{number}")
            m.d.comb += [
                port.payload.eq(self.i.payload),
                port.valid.eq(self.i.valid & ~taken[number]),
                done[number].eq(taken[number] | port.ready),
            ]
        m.d.comb += self.i.ready.eq(done.all())
        with m.If(self.i.valid):
            m.d.sync += taken.eq(done & ~done.all().replicate(self.outputs))
        return m


def move(m: Module, source: stream.Interface, target: stream.Interface, payload: ValueLike) -> None:
    """Hand the words of `source` to `target` as `payload` has them."""
    m.d.comb += [
        Value.cast(target.payload).eq(payload),
        target.valid.eq(source.valid),
        source.ready.eq(target.ready),
    ]
