"""From a program to the accelerator's commands: where tensors stand, how they are walked, what waits for what.

::

    assemble ── a step in two programs
       ├──> placement ──> memory, layouts           where each tensor stands
       ├──> schedule                                what is given at once, and what goes beside something else
       │       ├──> vectors ──> passes              a vector operation as operations of the vector unit:
       │       │      └──> standalone, normalisations, sums, copies     pooling, tokens, by_channel, by_row below them
       │       ├──> pipelines ──> parts             products and passes in parts beside each other
       │       └──> weight_gradients ──> updates    what waits for passes, and the updates behind it
       │              └──> emitter ──> products, drains ──> walks ──> commands, in the order of dependences
       ├──> in_place                                updates that come last
       └──> buffers                                 where loads go in the operand buffers
"""
