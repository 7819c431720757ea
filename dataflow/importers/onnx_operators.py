"""ONNX operators by what they cost in a training step; all others are unknown."""

FREE = frozenset({
    "Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "CastLike", "Pad", "Gather", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth", "ConstantOfShape", "Shape", "Slice", "Split", "Concat", "Transpose",
})  # fmt: skip
"""Other views of the same memory, or what the memory's strides and zero padding do."""

MASKED = frozenset({"Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "HardSigmoid"})
"""Element-wise, the gradient needs a bit an element."""

KEPT = frozenset({
    "Gelu", "Sigmoid", "Tanh", "Erf", "HardSwish", "Swish", "Mish", "Softplus", "Softsign", "Elu", "Selu", "Celu", "Exp", "Log",
    "Sqrt", "Reciprocal", "Abs", "Sin", "Cos", "LRN", "Sign",
})  # fmt: skip
"""Element-wise, the gradient needs the input."""

LINEAR = frozenset({"Neg", "Floor", "Ceil", "Round", "Not"})
"""Element-wise, the gradient needs nothing."""

BINARY = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Pow": "power", "Max": "maximum", "Min": "minimum",
}  # fmt: skip
"""Of two activations, or of one and a constant."""

REDUCING = frozenset({
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd", "ReduceSumSquare", "Resize", "Upsample",
    "ArgMax", "CumSum",
})  # fmt: skip
"""A pass that makes a tensor of another shape."""

NORMS = frozenset({
    "LayerNormalization", "GroupNormalization", "InstanceNormalization", "RMSNormalization", "LpNormalization",
})  # fmt: skip
"""Normalisation of each sample by itself."""

OTHERS = frozenset({
    "Conv", "Gemm", "MatMul", "BatchNormalization", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
    "Softmax", "LogSoftmax", "Sum",
})  # fmt: skip

KNOWN = tuple(sorted({*FREE, *MASKED, *KEPT, *LINEAR, *BINARY, *REDUCING, *NORMS, *OTHERS}))
