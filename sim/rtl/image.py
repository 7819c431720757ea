"""The accelerator's memory as bytes: what the host writes there before a step, and what it reads afterwards."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dataflow.compile.memory import MOMENTS, Tensor
from hw.formats import FloatFormat
from training.adamw import AdamW
from training.layers.weighted import Weighted
from training.model import Model
from training.nm import Packed
from training.numbers import Array, from_bits, to_bits
from training.optimiser import Optimiser, Sgd

Bytes = NDArray[np.uint8]


def encode(tensor: Tensor, values: Array | Packed | tuple[Array, ...], storage: FloatFormat) -> Bytes:
    """The bytes of a tensor.

    Parameters
    ----------
    tensor : Tensor
        Its kind and place.
    values : ndarray, Packed or (ndarray, ndarray)
        Of as many elements as the tensor; packed weights with rows last; masters as weights and velocities, moments as both
        sums.
    storage : FloatFormat
        Of storage and packed tensors.
    """
    word = f"<u{storage.width // 8}"
    if tensor.kind == "packed":
        assert isinstance(values, Packed)
        parts = [to_bits(values.values, storage).astype(word), values.indices.astype(word)]
    elif tensor.kind in ("master", "moments"):
        assert isinstance(values, tuple)
        parts = [np.asarray(part, np.float32).view("<u4") for part in values]
    elif tensor.kind == "binary32":
        parts = [np.asarray(values, np.float32).view("<u4")]
    else:
        assert not isinstance(values, Packed | tuple)
        parts = [to_bits(values, storage).astype(word)]
    records = np.stack([part.reshape(tensor.shape) for part in parts], axis=-1)
    padded = np.zeros((*tensor.stored_shape, len(parts)), records.dtype)
    padded[..., : tensor.shape[-1], :] = records
    return np.frombuffer(padded.tobytes(), np.uint8)


def decode(tensor: Tensor, memory: Bytes, storage: FloatFormat) -> Array:
    """The values of a storage or binary32 tensor in `memory`, in its shape."""
    part = memory[tensor.offset : tensor.offset + tensor.size_bytes].tobytes()
    if tensor.kind == "binary32":
        return np.frombuffer(part, "<f4").reshape(tensor.shape)
    return from_bits(np.frombuffer(part, f"<u{storage.width // 8}"), storage).reshape(tensor.shape)


def write(memory: Bytes, tensor: Tensor, values: Array | Packed | tuple[Array, ...], storage: FloatFormat) -> None:
    """Put a tensor in its place."""
    memory[tensor.offset : tensor.offset + tensor.size_bytes] = encode(tensor, values, storage)


def weights(model: Model, optimiser: Optimiser) -> Mapping[str, Array | Packed | tuple[Array, ...]]:
    """What a model and its optimiser hold, by the names of the program's tensors, rows last."""
    held: dict[str, Array | Packed | tuple[Array, ...]] = {}
    for name, parameter in model.parameters():
        layer, _, kind = name.rpartition(".")
        place, zeros = f"{layer}.{'master' if kind == 'weight' else kind}", np.zeros_like(parameter.value)
        master = parameter.value
        if isinstance(optimiser, AdamW):
            held |= {
                place: _rows_last(kind, master)[0],
                place + MOMENTS: _rows_last(kind, *optimiser.moments.get(name, (zeros, zeros))),
            }
        else:
            assert isinstance(optimiser, Sgd)
            held[place] = _rows_last(kind, master, optimiser.velocities.get(name, zeros))
    for name, module in model.modules.items():
        if isinstance(module, Weighted):
            held |= module.stored()
        held |= {f"{name}.{kind}": values for kind, values in module.statistics.items()}
    return held


def _rows_last(kind: str, *arrays: Array) -> tuple[Array, ...]:
    return tuple(np.moveaxis(array, 0, -1) if kind == "weight" else array for array in arrays)
