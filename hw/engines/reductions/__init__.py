"""Reductions of streams of words: sums and maxima of each lane over the terms that come in it.

::

    words ─► lane: + or larger of ─► partial results of every word of channels ─► fold 16 ─ 8 ─ 4 ─ 2 ─► results
                 ▲                        │
                 └────────────────────────┘
"""

from hw.engines.reductions.lane import PARTIAL, ReductionLane
from hw.engines.reductions.unit import ReductionUnit, sizes_layout

__all__ = ["PARTIAL", "ReductionLane", "ReductionUnit", "sizes_layout"]
