"""From a program to the accelerator's commands.

::

    program ──> memory (where each tensor stands) ──┐
       └──────> products ──> walks ─────────────────┼──> commands ──> words
       └──────> passes, updates ────────────────────┘
"""
