"""Reads the pickled dictionaries of arrays that data sets come as, and nothing else: no name in them is run."""

import pickle
from io import BytesIO
from typing import Any

import numpy as np

from hw.errors import InputError


class _Unpickler(pickle.Unpickler):
    """Knows the four names that an array of numbers needs, each as a function of ours."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (a pickle's names are functions and types alike)
        known = {
            ("numpy.core.multiarray", "_reconstruct"): _empty,
            ("numpy._core.multiarray", "_reconstruct"): _empty,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _dtype,
            ("_codecs", "encode"): _encode,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {f'{module}.{name}'!r}, which no array needs")
        return known[module, name]


def read_pickle(content: bytes, name: str) -> dict[bytes, Any]:
    """The dictionary with byte keys that `content` holds; `InputError` with the file's `name` where it is none."""
    try:
        read = _Unpickler(BytesIO(content), encoding="bytes").load()
        if isinstance(read, dict):
            return {key.encode() if isinstance(key, str) else key: value for key, value in read.items()}
    except Exception as error:  # a damaged pickle fails in as many ways as there are bytes
        raise InputError(f"{name}: not a data set's pickle: {error or type(error).__name__}") from None
    raise InputError(f"{name}: not a data set's pickle: it holds a {type(read).__name__}")


def _empty(kind: type, shape: Any, code: Any) -> np.ndarray:  # noqa: ANN401 (what a pickle passes)
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("it rebuilds something that is no array")
    return np.ndarray((0,), np.uint8)


def _dtype(code: Any, *rest: Any) -> np.dtype:  # noqa: ANN401 (what a pickle passes)
    kind = np.dtype(code.decode() if isinstance(code, bytes) else code)
    if kind.kind not in "biuf":
        raise pickle.UnpicklingError(f"an array of {kind}, not of numbers")
    return np.dtype(kind.str)


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")
