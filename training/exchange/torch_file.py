"""PyTorch's own files of tensors, read without PyTorch and without running what is in them."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import error as ZlibError

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from hw.errors import InputError

STORAGES = {
    "FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "|b1",
}  # fmt: skip


class _Storage:
    """Stands for a type of storage: the dtype in which its bytes are read."""

    def __init__(self, name: str) -> None:
        self.name, self.dtype = name, np.dtype(STORAGES[name])


class _Unpickler(pickle.Unpickler):
    """Knows the names that tensors need, each as a function of ours; every other one is refused."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(BytesIO(archive.read(f"{folder}/data.pkl")))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (a pickle's names are functions and types alike)
        if module == "torch" and name in STORAGES:
            return _Storage(name)
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *rest: tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {f'{module}.{name}'!r}, which no tensor needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> NDArray[Any]:  # noqa: ANN401 (what the pickle passes)
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        numbers = np.frombuffer(self.archive.read(f"{self.folder}/data/{key}"), storage.dtype)
        if len(numbers) < count:
            raise pickle.UnpicklingError("a storage is shorter than it says")
        if storage.name == "BFloat16Storage":
            return (numbers.astype(np.uint32) << 16).view(np.float32)
        return numbers


def _rebuild(storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object) -> NDArray[Any]:
    """A tensor is a view of a storage; its elements must lie within."""
    last = offset + sum((one - 1) * step for one, step in zip(size, stride, strict=True))
    if offset < 0 or min((*size, *stride), default=0) < 0 or (np.prod(size) and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor lies outside its storage")
    view = as_strided(storage[offset:], size, [step * storage.itemsize for step in stride], writeable=False)
    return view.copy()


def read_torch(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors by name, in the file's order; a state dict within a dictionary, as under ``state_dict``, is found.

    Raises
    ------
    InputError
        Where the file is missing, damaged, of PyTorch before 1.6, or holds something other than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            folder = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
            read = _Unpickler(archive, folder).load()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, StopIteration, OSError, ZlibError):
        raise InputError(f"{path}: not a file of torch.save, as it writes them since 1.6") from None
    except Exception as error:  # a damaged pickle fails in as many ways as there are bytes
        raise InputError(f"{path}: not a state dict: {error or type(error).__name__}") from None
    found = next((dict(part) for part in _dictionaries(read)), None)
    if found is None:
        raise InputError(f"{path}: not a state dict: it holds no named tensors")
    return found


def _dictionaries(read: object, depth: int = 0) -> Iterator[dict[str, NDArray[Any]]]:
    """Dictionaries of tensors in what was read, the outermost first."""
    if not isinstance(read, dict) or depth > 2:
        return
    tensors = {str(name): value for name, value in read.items() if isinstance(value, np.ndarray)}
    if tensors:
        yield tensors
    for value in read.values():
        yield from _dictionaries(value, depth + 1)
