"""From a network to a program, and from a program to cycles.

::

    zoo ──> network ──> lower ──────────────> program ──> model ──> result
                          │                      │          ├ schedule   blocks that fit the buffers
                          ├ geometry, products   │          └ timing     steps of the array
                          │   three products a   │
                          │   layer, as views    └──────> bounds         what no executor can beat
                          ├ forward, backward                views       the same views on NumPy arrays
                          │   passes between them
                          └ interleave   outputs that share a USPE

Imports only the plain configuration of `hw`.
"""
