"""The trainer: NumPy, with the accelerator's numbers bit for bit or with BLAS.

::

    sweep ──── many experiments as one table, table as Markdown
      │
    experiment ── by names and numbers, what the command line runs
        │
      loop ───── data, readers/, schedule ─► step: forward, loss, backward, update, prune anew
        │          │
      journal    checkpoint, curves       what a training leaves behind, and goes on from
        │        saved, network_text      the trained model as a file; archive, what both are written as
        │        exchange/                the same for others, and theirs: safetensors, PyTorch, ONNX
        │
      model ─── layers/ ─── windows     ├── optimiser, adamw, loss_scale    FP32 masters, as the WUVE does it
        │         │                     └── methods/                  which product reads which pruned operand
        │      operand ─── nm           N:M selection and packing, as the SORE does it
        │         │                     transposable, sampling, erk, widen: what some methods are made of
        │         │
      backend: exact │ fast             the three products, as the STCE does them, or by BLAS
               numbers                  storage formats
"""
