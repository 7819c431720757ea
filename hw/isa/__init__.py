"""What software and hardware agree on (plain Python): commands, their bits, registers, numbers of the microarchitecture.

::

    listing (text) ─┐
                    ├─► commands ─► encoding ─► words of a program ─► the RTL's dispatcher
    a compiler ─────┘      │
                           └─ checks: what fields may be, on this accelerator

    bits                       of the fields that are made of bits
    registers                  the host's side: control, status, errors, counters
    microarchitecture          sizes of FIFOs that no configuration changes

Nothing here imports Amaranth; what makes signals of it is in `hw.parts.layouts`.
"""
