"""From a network to a program, and from a program to cycles.

::

    zoo ──> network ──> lower ────────────> program ──> machine ──────────────────> exact ──> report
                          │                    │          compile    commands         │         studies
                          ├ geometry, products │          units      every cycle      └ timeline
                          │   three products a │
                          │   layer, as views  ├──> bounds   what no executor can beat
                          ├ forward, backward  └──> views    the same views on NumPy arrays
                          │   passes between
                          └ choices            timing   steps of the array
                              dataflow, tile   array    a sequence of products on the array alone

A folder imports those below it, never one above:

    analysis/     report and studies; exact and timeline, where cycles go; bounds, work, energy
    lowering/     a network to a program: lower, forward, backward
    compile/      a program to the accelerator's commands: assemble; where tensors stand, walks, what waits for what
    scheduling/   choices, the tiling of buffers, interleaving; pins, which a schedule file gives
    machine/      the accelerator cycle by cycle: its units in C++, and the SimPy process above them
    importers/, zoo/   ONNX and SCALE-Sim files, networks by name
    ir/           the program: operations, matrix views, stages
    network, tokens, rearrange, axes, pruning   layers, and which of them may be pruned

Imports only the plain configuration of `hw`.
"""
