"""What reductions of the vector unit are: the order of their additions, and their sizes (plain Python)."""

PARTIAL_SUMS = 16
"""Term i of a sum goes to partial sum i mod 16; they are folded by halves."""

PLACE_BITS = 16
"""Of the place of a maximum."""

MOST_PLACES = (1 << PLACE_BITS) - 1
"""Terms that a maximum can be found among."""

ACCUMULATOR_WORDS = 1024
"""Words of partial sums on the chip: a word of channels has `PARTIAL_SUMS` of them."""

MOST_GROUPS = ACCUMULATOR_WORDS // PARTIAL_SUMS
"""Words of channels that are reduced at once."""


def result_cycles(groups: int, terms: int, add_latency_cycles: int, *, in_turn: bool = False) -> int:
    """Cycles from the last word of terms taken to the first result offered: folding, each level waiting for the one before."""
    cycles, half, end = add_latency_cycles + 2, PARTIAL_SUMS // 2 * groups, min(terms, PARTIAL_SUMS) * groups
    while half >= groups and not in_turn:
        cycles += 1
        if half < end:
            cycles += 2 * (end - half) + add_latency_cycles + 1
            end = half
        half //= 2
    return cycles + 2
