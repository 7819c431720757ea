"""Constants of an ONNX file: whether their values are there, and whether training would change them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.checker import ValidationError
from onnx.external_data_helper import load_external_data_for_tensor

from dataflow.importers.onnx_limits import check_limits
from hw.errors import InputError
from hw.inputs import MOST_BYTES

MASK_ELEMENTS, MASK_VALUES, SAMPLE = 1 << 22, 4, 4096
"""A constant of up to so many elements is a mask where it has few values; the first ones tell most that are none."""


def is_mask(values: NDArray[Any] | None) -> bool:
    """Whether these are no numbers that training changes: two to four different ones, along two axes or more.

    So are masks of attention and of windows. Scales and biases lie along one axis, and weights are all different, or all equal.
    """
    if values is None or sum(size > 1 for size in values.shape) < 2 or values.size <= MASK_VALUES:
        return False
    if len(np.unique(values.flat[:SAMPLE])) > MASK_VALUES:
        return False
    return 1 < len(np.unique(values)) <= MASK_VALUES


def values_of(file: str, tensor: onnx.TensorProto) -> NDArray[Any]:
    """The numbers of a tensor; `InputError` where they are not of its shape and type."""
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file}: tensor {tensor.name!r}: its numbers are not of its shape and type: {error}") from None


def inlined(file: str, model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own; `InputError` where it, or what they come to, is too large or too deep."""
    check_limits(file, model)
    try:
        return onnx.inliner.inline_local_functions(model) if model.functions else model
    except (ValidationError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: its functions cannot be put in their places: {error}") from None


def is_here(tensor: onnx.TensorProto, folder: Path) -> bool:
    """Whether the values of `tensor` are known, read from their own file where there is one."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return True
    named = {entry.key: entry.value for entry in tensor.external_data}
    try:
        if (folder / named.get("location", "")).stat().st_size > MOST_BYTES:
            return False
        load_external_data_for_tensor(tensor, str(folder))
    except (ValidationError, OSError, ValueError):
        return False
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
    return True
