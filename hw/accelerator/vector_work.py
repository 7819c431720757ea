"""What the vector unit can do: the fields of its work."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.isa.reductions import MOST_GROUPS, MOST_PLACES, PARTIAL_SUMS


def packed_words(config: AcceleratorConfig, m: Module, update: data.View) -> Signal:
    """N of every M words of an update; M is a power of two."""
    words = Signal(32)
    with m.Switch(update.m):
        for bits in range(config.max_group.bit_length()):
            with m.Case(1 << bits):
                m.d.comb += words.eq((update.words >> bits) * update.n[:8])
    return words


def is_update(config: AcceleratorConfig, update: data.View) -> Value:
    """Whether the fields of an update go together, each of which is within `hw.isa.bounds`."""
    powers = Cat(update.m == 1 << bits for bits in range(config.max_group.bit_length())).any()
    blocks = (update.words & (config.turned_block_words - 1)) == 0
    moments = (update.moments == 0) | ~update.copies.as_value().any()
    return (~(update.copies.forward | update.copies.backward) | powers & (update.n <= update.m) & blocks) & moments


def is_pass(config: AcceleratorConfig, step: data.View) -> Value:
    """Whether the fields of a pass go together, each of which is within `hw.isa.bounds`."""
    options = step.options
    places = ~options.largest | (step.terms <= MOST_PLACES)
    in_turn = ~options.in_turn | (step.groups >= PARTIAL_SUMS)
    rows = (step.last_lanes != 0) & (step.groups == config.vpu_lanes) & ~options.in_turn & ~options.places
    goes_on = (step.results == 0) & (step.terms[: PARTIAL_SUMS.bit_length() - 1] == 0)
    columns = (step.groups != 0) & ((step.results == step.groups) | goes_on) & (step.held_block <= MOST_GROUPS)
    columns = columns & ~options.across & ~options.in_turn & ~options.places
    reduces = (~options.across | rows) & (~options.beside | columns) & ((step.groups == 0) | in_turn & places)
    return reduces & (~options.by_row | (step.held == 1))
