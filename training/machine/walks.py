"""Walks as arrays of addresses: what loads read and stores write."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.formats import lowest_bits
from hw.isa.bounds import GUARD_BITS
from hw.isa.checks import word_lanes
from hw.isa.commands import NO_LIMIT, Counter, Loop, Walk

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
"""Bits of elements; of a stream of words, (words, lanes)."""

MOST_KEPT, BLOCK = 1 << 15, 64
"""Elements of a walk whose blocks are kept, of nine bytes each; as how many a block counts besides."""


@dataclass(frozen=True)
class Block:
    """The elements of one count of the tile loops.

    Parameters
    ----------
    addresses : ndarray, (v, u), int64
        Bytes of the window.
    inside : ndarray, (v, u), bool
        Whether the element is in memory.
    """

    addresses: NDArray[np.int64]
    inside: NDArray[np.bool_]


def blocks(walk: Walk, address_bits: int) -> Iterator[Block]:
    """The blocks of a walk in order, see `hw.isa.commands.Walk`; addresses are counted modulo ``2 ** address_bits``."""
    if walk.outer * walk.middle * walk.inner * (walk.u_tile * walk.v_tile + BLOCK) > MOST_KEPT:
        return _blocks(walk, address_bits)
    return iter(_kept(walk, address_bits))


@lru_cache(maxsize=512)
def _kept(walk: Walk, address_bits: int) -> tuple[Block, ...]:
    """The blocks of a small walk: a training has the same ones in each of its steps."""
    found = tuple(_blocks(walk, address_bits))
    for block in found:
        block.addresses.flags.writeable = block.inside.flags.writeable = False
    return found


def _blocks(walk: Walk, address_bits: int) -> Iterator[Block]:
    size = 1 << walk.size_log2
    u_digit, u_moved = _space(walk.u, walk.u_size, run=True)
    _, v_moved = _space(walk.v, walk.v_size, run=False)
    for counts in np.ndindex(walk.outer, walk.middle, walk.inner):
        u, v = (
            _part(counter, tile, length, counts)
            for counter, tile, length in (
                (walk.u_counter, walk.u_tile, walk.u_size),
                (walk.v_counter, walk.v_tile, walk.v_size),
            )
        )
        moved = v_moved[:, v, None] + u_moved[:, None, u]
        inside = np.broadcast_to((u_digit[u] < walk.run_limit) | (walk.run_limit == NO_LIMIT), moved.shape[1:])
        places = moved[1] + walk.start_0, moved[2] + walk.start_1 + (u_digit[u] if walk.run_guard else 0)
        for place, limit in zip(places, (walk.limit_0, walk.limit_1), strict=True):
            inside = inside & (place >= 0) & (place < limit)
        yield Block((walk.base + moved[0] + u_digit[u] * size) % (1 << address_bits), inside)


def read(memory: Bytes, walk: Walk, block: Block, outside: int = 0) -> Words:
    """Bits of a block's elements, (v, u); those of `outside` where they are not in memory."""
    elements = _elements(memory, walk, block)
    inside = elements[np.where(block.inside, block.addresses, 0) >> walk.size_log2]
    return np.where(block.inside, inside, inside.dtype.type(outside)).astype(np.uint64)


def read_words(config: AcceleratorConfig, memory: Bytes, walk: Walk) -> Words:
    """A walk as a stream of words of lanes: every `boundary` positions of u, zeros behind the last.

    Where they are outside they are the storage format's lowest number, if the walk wants it.
    """
    _check_boundary(config, walk)
    outside = lowest_bits(config.storage_format) if walk.lowest else 0
    read_blocks = (read(memory, walk, block, outside) for block in blocks(walk, config.address_bits))
    return np.concatenate([_in_lanes(block, walk.boundary, config.vpu_lanes) for block in read_blocks])


def write_words(config: AcceleratorConfig, memory: Bytes, walk: Walk, words: Words) -> Words:
    """Write the first words of a stream along a walk; what is left of the stream."""
    lanes = walk.boundary
    _check_boundary(config, walk)
    for block in blocks(walk, config.address_bits):
        rows, length = block.addresses.shape
        needed = rows * -(-length // lanes)
        if needed > len(words):
            raise InputError(f"a store waits for {needed - len(words)} words that nothing gives")
        given = words[:needed, :lanes].reshape(rows, -1)[:, :length]
        words = words[needed:]
        elements = _elements(memory, walk, block)
        elements[block.addresses[block.inside] >> walk.size_log2] = given[block.inside].astype(elements.dtype)
    return words


def _elements(memory: Bytes, walk: Walk, block: Block) -> NDArray[Any]:
    """The memory as elements of the walk's size; `InputError` where the block goes beyond it."""
    size = 1 << walk.size_log2
    beyond = block.inside & (block.addresses + size > len(memory))
    if beyond.any():
        raise InputError(f"a walk comes to byte {block.addresses[beyond][0]}; the memory has {len(memory)} bytes")
    return memory[: len(memory) // size * size].view(f"<u{size}")


def _space(loops: tuple[Loop, ...], length: int, *, run: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each element of a space, the digit of its first loop, and by what address and both guards have moved, (3, length)."""
    index = np.arange(length)
    first, moved = index % loops[0].count, np.zeros((3, length), np.int64)
    travelled = np.zeros(3, np.int64)
    for number, loop in enumerate(loops):
        if number or not run:
            step = np.array([loop.delta, loop.guard_0, loop.guard_1]) + travelled
            moved += step[:, None] * (index % loop.count)
            travelled += step * (loop.count - 1)
        index = index // loop.count
    moved += travelled[:, None] * index  # beyond all of its loops a space goes through them again, from where it is
    moved[1:] = (moved[1:] + (1 << GUARD_BITS - 1)) % (1 << GUARD_BITS) - (1 << GUARD_BITS - 1)
    return first, moved


def _part(counter: int, tile: int, length: int, counts: tuple[int, ...]) -> slice:
    """Which elements of a space belong to a block."""
    start = tile * counts[counter - 1] if counter != Counter.NONE else 0
    return slice(start, min(start + tile, length))


def _check_boundary(config: AcceleratorConfig, walk: Walk) -> None:
    lanes = word_lanes(config)
    if walk.boundary not in lanes:
        raise InputError(f"walk.boundary must be {' or '.join(map(str, lanes))} lanes, not {walk.boundary}")


def _in_lanes(block: Words, used: int, lanes: int) -> Words:
    """Rows as words of which the first lanes are used."""
    rows, length = block.shape
    padded = np.zeros((rows, -(-length // used) * used), np.uint64)
    padded[:, :length] = block
    words = np.zeros((padded.size // used, lanes), np.uint64)
    words[:, :used] = padded.reshape(-1, used)
    return words
