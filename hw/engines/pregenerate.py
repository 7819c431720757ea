"""Pre-generation: both packed copies of a weight are made while its update is in hand."""

from amaranth.hdl import Cat, Module, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.sore import SORE, packed_layout
from hw.engines.transpose import Transpose, check_lanes
from hw.engines.wuve import MASTER, NUMBER, WUVE, rates_layout
from hw.errors import InputError
from hw.parts.modules import place
from hw.parts.streams import Fork, move


def moved_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A master weight and its velocity after an update, and the weight rounded to the storage format."""
    return data.StructLayout({"weight": NUMBER, "velocity": NUMBER, "copy": config.storage_format.width})


def ratio_layout(config: AcceleratorConfig) -> data.StructLayout:
    """N and M, see `hw.engines.sore.elements_layout`; M must divide `max_group`."""
    bits = config.max_group.bit_length()
    return data.StructLayout({"n": bits, "m": bits})


def check_pregeneration(config: AcceleratorConfig) -> None:
    """Raise `InputError` unless the update engine's words fit the reduction engine's lanes and can be turned."""
    if config.wuve_lanes != config.sore_lanes:
        raise InputError(
            f"wuve_lanes and sore_lanes must be equal for pre-generation, not {config.wuve_lanes} and {config.sore_lanes}"
        )
    check_lanes(config.sore_lanes, config.max_group)


class Pregenerate(wiring.Component):
    """Updates master weights and packs them along both axes in one pass: no dense copy is written or read back.

    ::

        i_master ───► WUVE ─ fork ─┬──────────────────────► o_master
        i_gradient ─►              ├─────────────► SORE ──► o_forward
                                   └─ transpose ─► SORE ──► o_backward

    Weights come in blocks of `max_group` output channels × `max_group` input channels, padded with zeros: the lanes are output
    channels and the input channels follow in time (with fewer lanes than output channels in bands: `hw.engines.transpose`). So
    the forward groups, along the input channels, are packed as they come, and the backward groups after each block is turned.

    Parameters
    ----------
    config : AcceleratorConfig
        With as many `wuve_lanes` as `sore_lanes`, a power of two.

    Members
    -------
    i_master, i_gradient, rates, overflow, clear
        As of `hw.engines.wuve.WUVE`.
    ratio : In(ratio_layout)
        N:M of both copies; it must hold while a tensor is inside.
    skip : In(2)
        Bit 0: no forward copy is made; bit 1: no backward copy. It must hold while a tensor is inside.
    o_master : Out(stream of moved_layout × wuve_lanes)
        The masters, in the order they came.
    o_forward : Out(stream of packed_layout)
        Groups along the input channels; a lane is an output channel.
    o_backward : Out(stream of packed_layout)
        Groups along the output channels; a lane is an input channel.

    Attributes
    ----------
    interval_cycles : int
        Cycles from one word to the next: 1.
    forward_latency_cycles, backward_latency_cycles : int
        From the last word of a forward group, or of a block, taken to its first packed word offered, the latter beyond the M
        cycles of its group.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        check_pregeneration(config)
        self.config = config
        self.forward_latency_cycles = config.forward_copy_latency_cycles
        self.backward_latency_cycles = config.backward_copy_latency_cycles
        super().__init__(
            {
                "i_master": In(stream.Signature(data.ArrayLayout(MASTER, config.wuve_lanes))),
                "i_gradient": In(stream.Signature(data.ArrayLayout(NUMBER, config.wuve_lanes))),
                "rates": In(rates_layout(config)),
                "ratio": In(ratio_layout(config)),
                "overflow": Out(1),
                "clear": In(1),
                "skip": In(2),
                "o_master": Out(stream.Signature(data.ArrayLayout(moved_layout(config), config.wuve_lanes))),
                "o_forward": Out(stream.Signature(packed_layout(config))),
                "o_backward": Out(stream.Signature(packed_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, lanes, width = self.config, self.config.sore_lanes, self.config.storage_format.width
        wuve = place(m, platform, lambda: WUVE(config), module="wuve", name="wuve")
        forward = place(m, platform, lambda: SORE(config), module="sore", name="forward")
        backward = place(m, platform, lambda: SORE(config), module="sore", name="backward")
        turn = place(m, platform, lambda: Transpose(width, size=config.max_group, lanes=lanes), module="transpose", name="turn")
        fork = place(m, platform, lambda: Fork(len(wuve.o.payload.as_value()), outputs=3), module="stream_fork", name="fork")

        words = data.ArrayLayout(wuve.o.payload.shape().elem_shape, lanes)
        masters, forwards, backwards = (words(port.payload) for port in (fork.o_0, fork.o_1, fork.o_2))
        move(m, self.i_master, wuve.i_master, self.i_master.payload)
        move(m, self.i_gradient, wuve.i_gradient, self.i_gradient.payload)
        move(m, wuve.o, fork.i, wuve.o.payload)
        move(m, fork.o_0, self.o_master, Cat(Cat(word.weight, word.velocity, word.copy) for word in masters))
        _move_unless(m, self.skip[0], fork.o_1, forward.i, Cat(*(word.copy for word in forwards), self.ratio))
        _move_unless(m, self.skip[1], fork.o_2, turn.i, Cat(word.copy for word in backwards))
        move(m, turn.o, backward.i, Cat(turn.o.payload, self.ratio))
        move(m, forward.o, self.o_forward, forward.o.payload)
        move(m, backward.o, self.o_backward, backward.o.payload)
        m.d.comb += [wuve.rates.eq(self.rates), wuve.clear.eq(self.clear), self.overflow.eq(wuve.overflow)]
        return m


def _move_unless(m: Module, skip: Value, source: stream.Interface, target: stream.Interface, payload: ValueLike) -> None:
    """As `move`, but words are dropped where `skip` is high."""
    m.d.comb += [
        Value.cast(target.payload).eq(payload),
        target.valid.eq(source.valid & ~skip),
        source.ready.eq(target.ready | skip),
    ]
