"""From a program to the accelerator's commands.

::

    program ──> memory (where each tensor stands) ───────┐
       └──────> tilings ──> products, drains ──> walks ──┼──> commands ──> words
       └──────> passes, updates ─────────────────────────┘
                                                  commands ──> numbers ──> units/ (C++) ──> cycles, counters
"""
