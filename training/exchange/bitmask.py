"""2:4 matrices as compressed-tensors' ``sparse-24-bitmask`` has them: two of every four values, and a bit a weight."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from training.numbers import Array

FORMAT = "sparse-24-bitmask"


def compress(tensors: Mapping[str, Array], names: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray]:
    """`tensors` with each of `names`, (outputs, inputs) with inputs in whole groups of 4, in three parts.

    ::

        <name>.compressed   (outputs, inputs / 2): kept values in order, two of every four
        <name>.bitmask      (outputs, ceil(inputs / 8)) uint8: weight j is bit j mod 8, the lowest first, of byte j div 8
        <name>.shape        (2,) int64: outputs, inputs

    Parameters
    ----------
    tensors : mapping
        By name, as a state dict has them.
    names : mapping
        Of the matrices to compress, which of their weights are kept.
    """
    found: dict[str, NDArray] = {}
    for name, tensor in tensors.items():
        if name not in names:
            found[name] = tensor
            continue
        mask, (outputs, inputs) = names[name], tensor.shape
        if not (mask.reshape(outputs, -1, 4).sum(axis=-1) == 2).all():
            raise InputError(f"{name}: {FORMAT} needs two kept weights in each group of four")
        found[f"{name}.compressed"] = tensor[mask].reshape(outputs, inputs // 2)
        found[f"{name}.bitmask"] = np.packbits(mask, axis=-1, bitorder="little")
        found[f"{name}.shape"] = np.array(tensor.shape, np.int64)
    return found
