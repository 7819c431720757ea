"""One colour a concept, the same in every chart; told apart also by readers who do not see red from green."""

STAGES = {
    "forward": "#2f6db5",
    "input_gradient": "#e2902c",
    "weight_gradient": "#2a9d8a",
    "vector": "#8d6fb8",
    "update": "#c2506c",
    "idle": "#9aa3ad",
}
"""By stage of a step, or by what the array waits for."""

NAMES = {
    "forward": "forward",
    "input_gradient": "input gradient",
    "weight_gradient": "weight gradient",
    "vector": "vector passes",
    "update": "weight update",
    "idle": "idle",
}
"""What readers call them."""

GEMM = ("forward", "input_gradient", "weight_gradient")
"""The three that are matrix products."""

METHODS = ("#7a8590", "#2f6db5", "#c2506c", "#2a9d8a", "#8d6fb8", "#e2902c")
"""Lines of training curves, in order; the first is what the others are compared with."""

ENERGY = {
    "multiply_accumulate": "#2f6db5",
    "links": "#7a8590",
    "buffers": "#2a9d8a",
    "output_buffer": "#b8a13c",
    "memory": "#e2902c",
    "vector": "#8d6fb8",
    "update": "#c2506c",
}
"""By what joules are spent on."""

ENERGY_NAMES = {
    "multiply_accumulate": "multiply-accumulates",
    "links": "links",
    "buffers": "operand buffers",
    "output_buffer": "output buffer",
    "memory": "memory",
    "vector": "vector",
    "update": "update",
}
"""What readers call them."""
