"""What reductions of the vector unit are: the order of their additions, and their sizes (plain Python)."""

PARTIAL_SUMS = 16
"""Term i of a sum goes to partial sum i mod 16; they are folded by halves."""

ROW_SUMS = 32
"""The same of a sum over a row, over the last axis."""

PLACE_BITS = 16
"""Of the place of a maximum."""

MOST_PLACES = (1 << PLACE_BITS) - 1
"""Terms that a maximum can be found among."""

ACCUMULATOR_WORDS = 1024
"""Words of partial sums on the chip: a word of channels has `PARTIAL_SUMS` of them."""

MOST_GROUPS = ACCUMULATOR_WORDS // PARTIAL_SUMS
"""Words of channels that are reduced at once."""


def lanes_summed(lanes: int) -> int:
    """Lanes that hold partial results of a row, whose element i goes to partial result i mod 32."""
    return min(lanes, ROW_SUMS)


def partial_sums(lanes: int, *, in_turn: bool, across: bool) -> int:
    """Words of partial results of each word of a term."""
    return ROW_SUMS // lanes_summed(lanes) if across else 1 if in_turn else PARTIAL_SUMS


def across_cycles(lanes: int, add_latency_cycles: int) -> int:
    """Cycles from the first row's lanes read to the word of all rows' results offered, which are put together in pairs."""
    return lanes + 1 + add_latency_cycles * (lanes_summed(lanes).bit_length() - 1)


def result_cycles(groups: int, terms: int, add_latency_cycles: int, partials: int = PARTIAL_SUMS) -> int:
    """Cycles from the last word of terms taken to the first result offered: folding, each level waiting for the one before.

    `partials` are the `partial_sums`. Of reductions over lanes it is to one cycle after their first row is read.
    """
    cycles, half, end = add_latency_cycles + 2, partials // 2 * groups, min(terms, partials) * groups
    while half >= groups:
        cycles += 1
        if half < end:
            cycles += 2 * (end - half) + add_latency_cycles + 1
            end = half
        half //= 2
    return cycles + 2
