"""Sizes that no configuration changes: the RTL is built with them, and the machine counts with them.

::

    fetch ─► dispatch ─► QUEUED_COMMANDS ─► walker ─► REQUEST_WORDS ─► splitter ─► OUTSTANDING_BURSTS ─► memory
                              │                                                                            │
                              │                    PART_WORDS ─► feed ─► FEED_WORDS ─┐     OUTPUT_WORDS ◄──┘
                              └─► tile loops ───────────────────► TILE_WORDS ────────┴─► STCE ─► RESULT_TILES ─► FEED_WORDS
                                                                                                                    │
                                                                                            SINK_WORDS ◄─ vector unit
"""

QUEUED_COMMANDS = 2
"""That may wait in front of each unit."""

QUIET_CYCLES = 4
"""For which all must be idle before a synchronisation is over: as long as a word may be between two blocks."""

PAGE_BYTES = 4096
"""No burst crosses a multiple of this (AMBA AXI, A3.4.1)."""

OUTSTANDING_BURSTS = 64
"""Of each reader and writer: bursts of one beat keep the port busy as long as the memory's latency is less."""

WRITES_AHEAD = 4
"""Write bursts whose addresses may have been given before their beats."""

UNFINISHED_WALKS = 4
"""Walks of a writer that may wait for the answers of their last writes."""

REQUEST_WORDS = 4
"""Requests between walker and splitter."""

OUTPUT_WORDS = 4
"""Chunks, or words, behind a reader."""

PART_WORDS = 2
"""Parts that may wait for a feed."""

FEED_WORDS = 4
"""Words behind the output buffer; behind a feed they are `hw.isa.operands.feed_words`."""

TILE_WORDS = 2
"""Tiles between the tile loops and the sequencer."""

RESULT_TILES = 256
"""Tiles that may be in the output buffer or on their way to it, as far as it has room."""

HELD_WORDS = 512
"""Of factors that are kept on the chip."""

SINK_WORDS = 4
"""Words in front of each writer."""
