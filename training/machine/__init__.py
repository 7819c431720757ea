"""What a program of commands does to the memory, in NumPy: the third executor, beside the RTL and the SimPy machine.

::

    commands ── queues, one a unit ──► loads ─► products ─► passes, updates ─► stores ──► memory
                                       walks.py  array.py    vector.py         walks.py

`executor` runs whole programs; between two synchronisations every unit takes its own commands in order.
"""
