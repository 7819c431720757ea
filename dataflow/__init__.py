"""From a network to a program, and from a program to cycles.

::

    zoo ──> network ──> lower ────────────> program ──> jobs ──> model ──> timeline ──> estimate
                          │                    │          │         ├ pieces      what units hand to each other
                          ├ geometry, products │          │         ├ servers     memory channel and lanes
                          │   three products a │          │         └ repetition  fast-forward
                          │   layer, as views  │          ├ schedule, footprint   blocks that fit the buffers
                          ├ forward, backward  │          ├ costs    lanes and bytes of what is not a product
                          │   passes between   │          └ timing   steps of the array
                          └ choices            │
                              dataflow, tile,  ├──> bounds   what no executor can beat
                              loop order, split└──> views    the same views on NumPy arrays
                              interleave                     array   a sequence of products on the array alone

    importers   ONNX and SCALE-Sim files ──> network (layers of tokens, rearrange and axes beside those of network)
    pins        choices that a schedule file gives          techniques  what an ablation switches off, selection
    energy      joules by a published table                 studies     one question asked of several networks
    workloads   sizes of a network

Imports only the plain configuration of `hw`.
"""
