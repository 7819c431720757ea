"""What a host must know of a step's memory: memory.json, as ``nmtrain program step`` writes it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dataflow.compile.assemble import Assembled
from dataflow.compile.loss import SHARE, TARGET
from dataflow.compile.memory import KINDS, MOMENTS, NEXT, Tensor
from hw.config import AcceleratorConfig
from hw.formats import BINARY16

ROLES = {
    "input": "activations that a layer reads",
    "output": "what a layer leaves, before it is rounded to storage",
    "output_gradient": "gradient of the loss by a layer's output, times the loss scale",
    "input_gradient": "gradient of the loss by a layer's input, times the loss scale",
    "weight_gradient": "gradient of the loss by a layer's weights, times the loss scale",
    "bias_gradient": "gradient of the loss by a layer's bias, times the loss scale",
    "weight": "weights as dense products read them, of the masters' last update",
    "weight_forward": "weights as the forward product reads them, packed along input channels",
    "weight_backward": "weights as the input gradient's product reads them, packed along output channels",
    "master": "weights, which updates change",
    "bias": "biases, which updates change",
    "scale": "factors of a normalisation, which updates change",
    "shift": "terms of a normalisation, which updates change",
    "moments": "what AdamW remembers of the tensor that is so called without it, which updates change",
    "ones": "a word of ones",
    "scale_gradient": "gradient of the loss by a normalisation's factors, times the loss scale",
    "shift_gradient": "gradient of the loss by a normalisation's terms, times the loss scale",
    "mean": "running means of a normalisation, for evaluation",
    "variance": "running variances of a normalisation, for evaluation",
    "factors": "what a normalisation multiplies by and adds, of this batch",
    "index": "where the largest element of each window was",
    "rows": "numbers of rows between two passes of a normalisation",
    "target": "what the softmax of the output should be",
    "share": "minus loss scale / batch, for each class",
    "softmax": "of the output",
    "totals": "sums that means are made of, or maxima, before they are rounded",
    "scaled": "gradients of windows, times their shares",
    "kept": "what an activation was applied to",
    "token": "class token, which updates change",
    "position": "positions of tokens, which updates change",
    "position_gradient": "gradient of the loss by positions, times the loss scale",
}
"""By what stands behind the last dot of a tensor's name."""

GOES_ON = (
    f"forward and backward read what has two places in its first one and write it to the second, whose name ends in {NEXT}; "
    "forward_next and backward_next the other way round. They are run in turn, but after an overflow, which the status "
    "register tells, the same ones again"
)


def describe(config: AcceleratorConfig, assembled: Assembled, first: str, last: str, loss_scale: float) -> dict[str, Any]:
    """The tensors of a step, and what the host does with them.

    Parameters
    ----------
    config : AcceleratorConfig
        Whose storage format it is.
    assembled : Assembled
        The step.
    first, last : str
        The layers that read the batch and give the network's output.
    loss_scale : float
        By which the host multiplies the loss's gradient, and updates divide.
    """
    memory = assembled.memory
    host: dict[str, Any] = {
        "writes_before_forward": {"batch": memory[f"{first}.input"].name},
        "reads_after_forward": {"output": memory[f"{last}.output"].name},
        "writes_before_backward": {
            "gradient of the loss by the output, times loss_scale": memory[f"{last}.output_gradient"].name
        },
        "reads_after_backward": {"weights": _held_after(memory.tensors)},
        "goes_on": GOES_ON,
    }
    if TARGET in memory.tensors:
        host["writes_before_step"] = {"batch": memory[f"{first}.input"].name, "target": TARGET, "share": SHARE}
    return {
        "memory_bytes": memory.size_bytes,
        "programs_go_behind": "memory_bytes, in the window, at a multiple of 4",
        "loss_scale": loss_scale,
        "host": host,
        "tensors": [asdict(tensor) | dict(_more(config, tensor, loss_scale)) for tensor in memory.tensors.values()],
    }


def _held_after(tensors: Mapping[str, Tensor]) -> list[str]:
    """What the optimiser holds after a step: in its second place, if it has one."""
    trained = [name for name, one in tensors.items() if one.kind in ("master", "moments") or name + MOMENTS in tensors]
    trained += [name + NEXT for name in trained if name + NEXT in tensors]
    return [name for name in tensors if name in trained and name + NEXT not in tensors]


def _more(config: AcceleratorConfig, tensor: Tensor, loss_scale: float) -> Iterator[tuple[str, Any]]:
    storage, part = config.storage_format, tensor.name.removesuffix(NEXT).rpartition(".")[2]
    role = ROLES.get(part, "what lies between two commands of a layer")
    role += ", after the step" * tensor.name.endswith(NEXT)
    numbers = f"<u{storage.width // 8}"
    kind = KINDS[tensor.kind]
    if kind.wide:
        numbers = "<f4"
    elif tensor.kind == "storage" and storage == BINARY16:
        numbers = "<f2"
    yield from (
        ("bytes", tensor.size_bytes),
        ("role", role),
        ("element", kind.element),
        ("layout", kind.layout),
    )
    yield "format", "binary32" if numbers == "<f4" else config.storage
    yield "dtype", numbers
    yield "scale", loss_scale if part.endswith("gradient") else 1.0
