"""Weights from and for others.

::

    names        our tensors under PyTorch's names, in PyTorch's layout
    torch_file   PyTorch's own files, read without running them
    files        a file's tensors by its ending, into a model or out of one
    onnx_write   a trained model as ONNX
    onnx_read    an ONNX file as a network that trains, with its weights
      ├─ onnx_trainable   what is known meanwhile: layers, weights, which layer holds each tensor
      ├─ onnx_view        and how it looks at it: axes split, joined and turned
      └─ onnx_moves, onnx_tokens   nodes that only move elements; those of transformers
    bitmask      2:4 layers without their zeros, as compressed-tensors reads them
"""
