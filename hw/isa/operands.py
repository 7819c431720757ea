"""How operand buffers are laid out (plain Python): what the hardware, the cycle model and the compiler know of it.

A buffer has a bank for each line of the array. Where lines are a power of two, word w of line l stands in bank
``(l + w) % lines``, so that words which follow each other in a line can be written in one cycle; the feed turns what the banks
give back to the lines.
"""

from hw.config import AcceleratorConfig

TURN_BITS = 2
"""Places that one stage of a turn decides on: a multiplexer of four is one level of lookup tables in most FPGAs."""


def is_skewed(lines: int) -> bool:
    """Whether the words of a line go from bank to bank."""
    return lines & (lines - 1) == 0


def chunk_words(config: AcceleratorConfig, lines: int) -> int:
    """Buffer words of a line that one chunk can fill: as many as a beat has, each in a bank of its own."""
    beat_elements = 8 * config.axi_data_bytes // config.storage_format.width
    return max(1, min(beat_elements // config.max_group, lines)) if is_skewed(lines) else 1


def chunk_elements(config: AcceleratorConfig, lines: int) -> int:
    """Elements of a load's chunk at most."""
    return chunk_words(config, lines) * config.max_group


def loaded_boundaries(config: AcceleratorConfig, lines: int, across: int, group: int, spread: int) -> list[int]:
    """What the `boundary` of a load's walk may be, so that no chunk crosses what one cycle can write."""
    if across:
        return [1] if spread else [lines]
    return [group] if spread or group < config.max_group else [chunk_elements(config, lines)]


def turn_cycles(lines: int) -> int:
    """Registers between the stages that turn a buffer's words back to their lines."""
    return max(0, -(-(lines - 1).bit_length() // TURN_BITS) - 1) if is_skewed(lines) else 0


def address_cycles(*, weights: bool) -> int:
    """Registers between the counters of a feed and the addresses of its buffer: those of activations go round in a ring."""
    return 0 if weights else 2


def read_cycles(lines: int, *, weights: bool) -> int:
    """From the counters of a feed until the word is offered to the array."""
    return 2 + address_cycles(weights=weights) + turn_cycles(lines)


def feed_words(lines: int, *, weights: bool) -> int:
    """Depth of the FIFO behind a buffer: what is on its way, and two."""
    return 2 + read_cycles(lines, weights=weights)


MOST_TAPS = 8
"""Of a window along an axis."""

GRID_BITS = 12
"""Width of an image's rows and columns, and, with a sign, of the steps of a window."""

MASK_SETS = 2
"""Tiles whose masks are kept."""
