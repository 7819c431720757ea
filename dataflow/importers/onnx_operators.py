"""ONNX operators by what they cost in a training step, those that need rules of their own left out."""

FREE = frozenset({
    "Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "CastLike", "Pad", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth", "ConstantOfShape", "Shape", "Size", "Slice", "GatherElements", "GatherND", "Trilu",
    "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "IsNaN", "IsInf", "Range", "OneHot",
})  # fmt: skip
"""Other views of the same memory, what its strides and zero padding do, and comparisons, which a choice makes on its way."""

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
    "ReduceMean", "ReduceSum", "ReduceL1", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd", "ReduceSumSquare", "Resize",
    "Upsample", "ArgMax", "ArgMin", "CumSum", "TopK",
})  # fmt: skip
"""A pass that makes a tensor of another shape."""

NORMS = frozenset({
    "LayerNormalization", "GroupNormalization", "InstanceNormalization", "RMSNormalization", "LpNormalization",
})  # fmt: skip
"""Normalisation of each sample by itself."""
