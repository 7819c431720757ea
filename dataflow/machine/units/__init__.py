"""The accelerator's units, cycle by cycle: what stands in their registers and FIFOs, but no numbers.

::

    dispatch ─► walker ─► reader ─► port ◄─ writer ◄─ walker ◄─ dispatch      one SimPy process keeps the time;
                            │         │       ▲                               a unit steps in the cycles in which
                            ▼       memory    │                               something can happen to it
                       operand buffers ─► array ─► vector unit

They are imported from the library that `dataflow.machine.compiled` has made of this source, where it has.
"""

from dataflow.machine.compiled import path

__path__[:0] = path()
