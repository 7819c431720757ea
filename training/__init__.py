"""The trainer: NumPy, with the accelerator's numbers bit for bit or with BLAS.

::

    experiment ── by names and numbers, what the command line runs
        │
      loop ───── data, schedule ───► step: forward, loss, backward, update, prune anew
                                        │
      model ─── layers/ ─── windows     ├── optimiser, loss_scale     FP32 masters, as the WUVE does it
        │         │                     └── methods/                  which product reads which pruned weights
        │      operand ─── nm           N:M selection and packing, as the SORE does it
        │         │
      backend: exact │ fast             the three products, as the STCE does them, or by BLAS
               numbers                  storage formats
"""
