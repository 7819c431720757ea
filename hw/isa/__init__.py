"""What software and hardware agree on (plain Python): commands, their bits, registers, numbers of the microarchitecture.

::

    listing (text) ─┐
                    ├─► commands ─► encoding ─► words of a program ─► the RTL's dispatcher
    a compiler ─────┘      │
                           └─ checks: what fields may be, on this accelerator

    registers                  the host's side: control, status, errors, counters

Nothing here imports Amaranth; what makes signals of it is in `hw.parts.layouts`.
"""
