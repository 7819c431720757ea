"""Tensors of a file by its ending, into a model or out of one."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.files import write_whole
from hw.ratio import Ratio
from training.archive import read_archive
from training.exchange.bitmask import FORMAT, compress
from training.exchange.names import from_torch, tensors, torch_name
from training.exchange.torch_file import read_torch
from training.layers.weighted import Weighted
from training.model import Model
from training.operand import kept_mask
from training.saved import Saved, forward_weights

READ = (".npz", ".safetensors", ".pt", ".pth", ".bin")
WRITTEN = (".safetensors", ".onnx")
TWO_OF_FOUR = Ratio(2, 4)


def write(path: Path, saved: Saved, *, dense: bool = False, packed: bool = False) -> None:
    """Write a trained model for others.

    Parameters
    ----------
    path : Path
        ``.safetensors``, under PyTorch's names and layout, or ``.onnx``.
    saved : Saved
        The model and what is known of its training.
    dense : bool
        Whether weights are the masters; else they are what the forward product reads, zeros where N:M pruned them.
    packed : bool
        Whether the matrices of linear layers that are 2:4 have two values of every four; see `training.exchange.bitmask`.

    Raises
    ------
    InputError
        Where `path` has another ending, or nothing can be packed.
    """
    model = saved.model
    if packed and (dense or path.suffix != ".safetensors"):
        raise InputError(f"{path}: packed weights are pruned ones, in .safetensors")
    weights = None if dense else read_weights(model)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        told = {name: str(saved.text[name]) for name in ("method", "ratio", "storage")}
        metadata = told | {"network": model.network.name, "weights": "dense" if dense else FORMAT if packed else "pruned"}
        found = tensors(model, weights)
        write_whole(path, save(compress(found, _two_of_four(path, model)) if packed else found, metadata))
    elif path.suffix == ".onnx":
        from training.exchange.onnx_write import to_onnx

        write_whole(path, to_onnx(model, weights).SerializeToString())
    else:
        raise InputError(f"{path}: weights are written as {' or '.join(WRITTEN)}")


def _two_of_four(path: Path, model: Model) -> dict[str, NDArray[np.bool_]]:
    """Masks of the linear layers whose forward product reads 2:4 weights in whole groups."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, module in model.modules.items():
        if isinstance(module, Weighted) and module.forward_operand.ratio == TWO_OF_FOUR:
            shape = module.weight.value.shape
            if len(shape) == 2 and shape[1] % TWO_OF_FOUR.m == 0:
                masks[torch_name(model.network, name, "weight")] = kept_mask(module.forward_operand)
    if not masks:
        raise InputError(f"{path}: no linear layer has 2:4 weights in whole groups: there is nothing to pack")
    return masks


def read_weights(model: Model) -> dict[str, NDArray[Any]]:
    """What the forward product of each weighted layer reads, by layer."""
    weighted = (module for module in model.modules.values() if isinstance(module, Weighted))
    return {module.layer.name: forward_weights(module) for module in weighted}


def load_into(model: Model, path: Path) -> list[str]:
    """Take masters and statistics from a file, from which training then starts.

    Parameters
    ----------
    model : Model
        Changes; its operands are made anew.
    path : Path
        A saved model (``.npz``), safetensors, or a PyTorch state dict, of which no code is run.

    Returns
    -------
    list of str
        Tensors of the classifier that stay as they were, because the file's are of another number of classes.

    Raises
    ------
    InputError
        Where a tensor is missing or of another shape.
    """
    if path.suffix == ".npz":
        arrays, _ = read_archive(path, "a trained model")
        try:
            model.restore(arrays)
        except (KeyError, ValueError) as error:
            raise InputError(f"{path}: a model of another network: {error}") from None
        model.prepare()
        return []
    found = _read(path)
    wanted = [(layer, kind) for layer, module in model.modules.items() for kind in module.state]
    names = {pair: torch_name(model.network, *pair) for pair in wanted}
    if not all(name in found for name in names.values()):
        names = _in_order(names, found, path)
    last = list(model.network.weighted())[-1].name
    state, fresh = model.state(), []
    for (layer, kind), name in names.items():
        module, present = model.modules[layer], state[f"{layer}.{kind}"]
        given = from_torch(module, kind, found[name].astype(np.float32))
        if given.shape == present.shape:
            state[f"{layer}.{kind}"] = given
        elif layer == last:
            fresh.append(name)
        else:
            raise InputError(f"{path}: tensor {name!r} gives {layer}.{kind} shape {given.shape}, not {present.shape}")
    model.restore(state)
    model.prepare()
    return fresh


def _read(path: Path) -> Mapping[str, NDArray[Any]]:
    if path.suffix not in READ:
        raise InputError(f"{path}: weights are read from {', '.join(READ)}")
    if path.suffix != ".safetensors":
        return read_torch(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(sorted(load(path.read_bytes()).items()))  # the library's order is another each time
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from None


def _in_order(names: dict[tuple[str, str], str], found: Mapping[str, NDArray[Any]], path: Path) -> dict[tuple[str, str], str]:
    """Other names in the file: its modules in their order are the network's, where each has the same kinds of tensors.

    So it is with VGG, whose layers torchvision numbers.
    """
    theirs = _modules(name for name in found if not name.endswith("num_batches_tracked"))
    ours = _modules(names.values())
    if [set(kinds) for kinds in theirs.values()] != [set(kinds) for kinds in ours.values()]:
        missing = next(name for name in names.values() if name not in found)
        raise InputError(f"{path}: tensor {missing!r} is missing; it has {', '.join([*found][:4]) or 'none'}, ...")
    modules = dict(zip(ours, theirs, strict=True))
    places = {pair: name.rpartition(".") for pair, name in names.items()}
    return {pair: f"{modules[module]}.{kind}" for pair, (module, _, kind) in places.items()}


def _modules(names: Iterable[str]) -> dict[str, list[str]]:
    """Kinds of tensors by module, modules in the order of the numbers in their names, else as they come."""
    found: dict[str, list[str]] = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        found.setdefault(module, []).append(kind)
    numbers = {module: [int(number) for number in re.findall(r"\d+", module)] for module in found}
    prefixes = {re.sub(r"\d+", "#", module) for module in found}
    return dict(sorted(found.items(), key=lambda one: numbers[one[0]])) if len(prefixes) == 1 else found
