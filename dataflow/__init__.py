"""From a network to a program, and from a program to cycles.

::

    zoo ──> network ──> lower ────────────> program ──> jobs ──> model ──> timeline ──> estimate
                          │                    │          │         └ convoys   few events a step
                          ├ geometry, products │          ├ schedule, footprint   blocks that fit the buffers
                          │   three products a │          ├ costs    lanes and bytes of what is not a product
                          │   layer, as views  │          └ timing   steps of the array
                          ├ forward, backward  │
                          │   passes between   ├──> bounds   what no executor can beat
                          └ interleave         └──> views    the same views on NumPy arrays
                              outputs that share a USPE      array   a sequence of products on the array alone

    importers   ONNX and SCALE-Sim files ──> network (layers of tokens, rearrange and axes beside those of network)
    pins        choices that a schedule file gives          techniques  what an ablation switches off, selection
    energy      joules by a published table                 studies     one question asked of several networks
    workloads   sizes of a network

Imports only the plain configuration of `hw`.
"""
