"""Floating-point blocks for any pair of formats; each streams one operation a cycle with a chosen latency.

::

    FloatMultiply   unpack ─ multiply ─────────────┐
    FloatAdd        order ─ distance ─ align ─ add ├─ Finish: count zeros ─ shift left ─ shift right ─ round ─ pack
    FloatConvert    unpack ────────────────────────┤
    FloatScale      unpack ────────────────────────┘

    pipeline        spreads the latency's registers over these steps
    unpack, leading_zeros, shift
                    what the steps are made of
"""

from hw.fp.add import FloatAdd
from hw.fp.convert import FloatConvert
from hw.fp.multiply import FloatMultiply
from hw.fp.scale import FloatScale

__all__ = ["FloatAdd", "FloatConvert", "FloatMultiply", "FloatScale"]
