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

A folder imports those below it, never one above:

    export/        the accelerator or a block as a folder of Verilog, with what an FPGA's tools want beside it
    boards/        a board around the accelerator: pins, memory, a serial line
    accelerator/   the top: control, dispatch, the units between memory and array
    buffers/       operands and how they are read, tile loops, the ring of result tiles
    engines/       vpu, wuve, sore, pregenerate, functions, reductions: what works on words of lanes
    array/         uspe, array, sequencer, stationary, stce
    dma/           walker, readers, writers, AXI ports
    mac/           the cores of a USPE, and numbers between the array's edges
    parts/         modules, RAM, delay lines, streams, layouts of words
    fp/            multiply, add, convert, parametric in format and pipeline depth
    isa/           commands, their encoding and checks, registers
    config, formats, ratio   what an accelerator is made of, number formats, N:M

`cache`, `compiler`, `config`, `cores`, `formats`, `ratio`, `errors`, `files` and `isa` are plain Python: every other folder may
import them without Amaranth.
"""
