"""SAT, the N:M sparse training accelerator, in Amaranth HDL.

::

                 activations, gradients (groups of M)
                    │      │      │      │            uspe         the unified sparse processing element
                    ▼      ▼      ▼      ▼            array        R × C of them, skewed at the edges
      weights ──► USPE ─ USPE ─ USPE ─ USPE ──► sums  sequencer    steps of products whose sums stay
      and         │      │      │      │              stationary   steps of products whose weights stay
      indices ──► USPE ─ USPE ─ USPE ─ USPE ──► sums  stce         the engine: array, sequencers, streams
                    ...   systolic array   ...
                                                      wuve         the update of master weights
      gradients ─► WUVE ─► SORE ─► packed copies      sore         the selection of N of M
                     pregenerate                      pregenerate  both packed copies while updating
      sums ─► VPU ─► activations                      vpu          what lies between products

    config, formats, ratio   what an accelerator is made of, number formats, N:M
    fp/                      multiply, add, convert, parametric in format and pipeline depth
    mac/                     the cores of a USPE, and numbers between the array's edges
    isa/                     commands, their encoding and checks, registers
    parts/                   layouts of words that blocks share
    modules, export          Verilog, each distinct module once
    packaging/               what an FPGA's tools want beside it

`cache`, `compiler`, `config`, `cores`, `formats`, `ratio`, `errors`, `files` and `isa` are plain Python: every other folder may
import them without Amaranth.
"""
