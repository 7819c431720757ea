"""The accelerator on a board: its memory in the device, and a host behind a serial line.

::

    host ── serial line ── HostBridge ─┬─ AXI4-Lite ── SAT ── AXI4 ─┐
                                       └──── bytes ──── BoardMemory ┘

`SerialBoard` is all of that, for any device with enough block RAM.
"""
