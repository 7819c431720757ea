"""From a network to a program, and from a program to cycles.

::

    zoo ──> network ──> lower ────────────> program ──> machine ──────────────────> exact ──> report
                          │                    │          assemble   commands         │         studies
                          ├ geometry, products │          units      every cycle      └ timeline
                          │   three products a │
                          │   layer, as views  ├──> bounds   what no executor can beat
                          ├ forward, backward  └──> views    the same views on NumPy arrays
                          │   passes between
                          └ choices            timing   steps of the array
                              dataflow, tile   array    a sequence of products on the array alone

    importers   ONNX and SCALE-Sim files ──> network (layers of tokens, rearrange and axes beside those of network)
    pins        choices that a schedule file gives          techniques  what an ablation switches off
    work        what commands do, counted                   energy      that, times joules of a table
    workloads   sizes of a network                          assumptions  what a report rests on

Imports only the plain configuration of `hw`.
"""
