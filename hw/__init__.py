"""SAT, the N:M sparse training accelerator, in Amaranth HDL.

::

                 activations, gradients (groups of M)
                    │      │      │      │            config    what an accelerator is made of
                    ▼      ▼      ▼      ▼            formats   number formats
      weights ──► USPE ─ USPE ─ USPE ─ USPE ──► sums  ratio     N:M
      and         │      │      │      │              fp/       multiply, add, convert
      indices ──► USPE ─ USPE ─ USPE ─ USPE ──► sums  uspe      the unified sparse processing element
                    ...   systolic array   ...        array     R × C of them
                                                      stce      the array with its sequencer and streams
                                                      export    Verilog, each distinct module once

`config`, `formats`, `ratio`, `errors` and `files` are plain Python: every other folder may import them without Amaranth.
"""
