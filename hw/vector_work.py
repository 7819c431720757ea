"""What the vector unit can do: the fields of its work."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.isa.functions import Function
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.reductions import MOST_GROUPS, MOST_PLACES, PARTIAL_SUMS, lanes_summed
from hw.parts.layouts import is_count, is_within
from hw.sore import kept_slots
from hw.vector import PLACES_BITS


def packed_words(config: AcceleratorConfig, m: Module, update: data.View) -> Signal:
    """N of every M words of an update; M is a power of two."""
    words = Signal(32)
    with m.Switch(update.m):
        for bits in range(config.max_group.bit_length()):
            with m.Case(1 << bits):
                m.d.comb += words.eq((update.words >> bits) * update.n[:8])
    return words


def is_update(config: AcceleratorConfig, update: data.View) -> Value:
    """Whether the update engine can do it."""
    powers = Cat(update.m == 1 << bits for bits in range(config.max_group.bit_length())).any()
    kept = (update.n != 0) & (update.n <= update.m) & (update.n <= kept_slots(config))
    blocks = (update.words & (config.turned_block_words - 1)) == 0
    places = ~update.unscale[PLACES_BITS - 1 :].any() | update.unscale[PLACES_BITS - 1 :].all()
    packs = ~(update.copies.forward | update.copies.backward) | powers & kept & blocks
    moments = (
        (update.moments == 0) | (update.moments == 1) & ~update.copies.as_value().any() if config.adamw else update.moments == 0
    )
    return (update.words != 0) & (update.copies.undefined == 0) & places & packs & moments


def is_pass(config: AcceleratorConfig, step: data.View) -> Value:
    """Whether the VPU and the reduction unit can do it."""
    places = ~step.options.largest | (step.terms <= MOST_PLACES)
    in_turn = ~step.options.in_turn | (step.groups >= PARTIAL_SUMS)
    last = is_within(step.last_lanes, 1, lanes_summed(config.vpu_lanes)) & (step.groups == config.vpu_lanes)
    across = ~step.options.across | last & ~step.options.in_turn & ~step.options.places
    counted = (step.place_words != 0) & (step.place_columns != 0) & (step.place_rows != 0)
    shape = (
        (step.groups != 0)
        & (step.results == step.groups)
        & is_within(step.held_block, 1, MOST_GROUPS)
        & is_count(step.column_tile)
    )
    beside = ~step.options.beside | shape & ~step.options.across & ~step.options.in_turn & ~step.options.places
    reduces = in_turn & (step.groups <= MOST_GROUPS) & (step.terms != 0) & (step.results != 0) & places
    known = (step.options.undefined == 0) & (step.steps.undefined == 0) & (step.function <= max(Function))
    return (step.words != 0) & counted & known & across & beside & ((step.groups == 0) | reduces) & _holds(step)


def _holds(step: data.View) -> Value:
    """Whether its factors can be kept as it says."""
    sizes = (step.held_block != 0) & is_count(step.columns) & is_count(step.column_tile)
    most = step.held <= Mux(step.options.by_row, 1, HELD_WORDS)
    return most & Mux(step.held == 0, ~step.options.by_row, sizes)
