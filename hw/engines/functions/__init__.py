"""The function unit: numbers through reciprocals, exponential, logarithm and activation functions, as parabolas from one table.

::

    unit     P lanes with streams
    lane     ─ reduce ─ table ─ × ─ + ─ × ─ + ─ normalise ─ round ─
    reduce   which segment, where in it, which exponent
    table    the segments of `hw.isa.functions`
"""

from hw.engines.functions.lane import CODE_BITS, FUNCTION_OPERATIONS, FunctionLane
from hw.engines.functions.unit import FunctionUnit

__all__ = ["CODE_BITS", "FUNCTION_OPERATIONS", "FunctionLane", "FunctionUnit"]
