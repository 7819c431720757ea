"""A trained model as a file: all that its products read, so that it classifies as it did when it was trained.

::

    <layer>.<name>                     masters and statistics, as `training.model.Model.state` has them
    <layer>.forward, .backward         what the products read, storage values, where it is dense
    <layer>.forward.values, .indices   the same where it is packed: (outputs, *kernel, groups, N)
    <layer>.backward.values, .indices  (inputs, *kernel, groups of outputs, N), outputs in the order of <layer>.order, if any
    <layer>.mask                       of a pruned layer: which weights its forward product reads, (outputs, *kernel, inputs)
    <layer>.memory.<name>              what the method remembers of a layer, such as a random mask
    json                               text: network, method, ratio of each packed copy, arithmetic, and what was measured
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hw.errors import InputError
from hw.files import write_whole
from hw.formats import parse_format
from hw.ratio import DENSE, Ratio, parse_ratio
from training.archive import below, pack, read_archive
from training.backend import ExactBackend, FastBackend
from training.data import Data, Normalise
from training.layers.weighted import Weighted
from training.model import Model
from training.network_text import describe, rebuild
from training.nm import MAX_GROUP, Packed, unpack
from training.numbers import Array
from training.operand import Operand

SIDES = ("forward", "backward")


@dataclass(frozen=True)
class Saved:
    """What a file of a trained model holds.

    Parameters
    ----------
    model : Model
        Ready to classify, or to go on from; its operands are those of the file, whatever method made them.
    text : dict
        ``method``, ``ratio``, ``storage``, ``exact`` and the ``metrics`` of its training.
    """

    model: Model
    text: dict[str, Any]

    def as_trained(self, data: Data) -> Data:
        """`data` normalised as the images of the training were, if they were."""
        used = self.text["metrics"].get("normalisation")
        if not used:
            return data
        return replace(data, normalise=Normalise(tuple(used["mean"]), tuple(used["deviation"]), used["scale"]))


def write_model(path: Path | str, model: Model, metrics: dict[str, Any]) -> None:
    """Write the bytes of `model_bytes`, whole or not at all."""
    write_whole(Path(path), model_bytes(model, metrics))


def model_bytes(model: Model, metrics: dict[str, Any]) -> bytes:
    """A trained model as an ``.npz``, whose entries the module's docstring lists; equal models, equal bytes.

    Parameters
    ----------
    model : Model
        As it was evaluated.
    metrics : dict
        What JSON holds of its training, such as `training.experiment.run` gives.
    """
    arrays: dict[str, Any] = dict(model.state())
    ratios: dict[str, str] = {}
    for module in _weighted(model):
        name = module.layer.name
        for side, operand in zip(SIDES, (module.forward_operand, module.backward_operand), strict=True):
            arrays |= _operand_arrays(f"{name}.{side}", operand)
            ratios |= {} if operand.ratio.is_dense else {f"{name}.{side}": str(operand.ratio)}
        if module.order is not None:
            arrays[f"{name}.order"] = module.order
        if not module.site.ratio.is_dense:
            arrays[f"{name}.mask"] = forward_weights(module) != 0
        arrays |= {f"{name}.memory.{kind}": array for kind, array in module.site.memory.items()}
    text = {
        "network": describe(model.network),
        "method": model.method.name,
        "ratio": str(model.ratio),
        "ratios": ratios,
        "storage": model.backend.storage.name,
        "exact": isinstance(model.backend, ExactBackend),
        "metrics": metrics,
    }
    return pack(arrays, text)


def read_model(path: Path | str, *, threads: int = 1) -> Saved:
    """Read what `write_model` wrote.

    Parameters
    ----------
    path : Path
        Of the file.
    threads : int
        See `training.backend.FastBackend`; the result does not depend on it.

    Raises
    ------
    InputError
        Where the file is missing, damaged, or no trained model.
    """
    arrays, text = read_archive(Path(path), "a trained model")
    try:
        network, storage = rebuild(text["network"]), parse_format(text["storage"])
        backend = ExactBackend(storage) if text["exact"] else FastBackend(storage, threads=threads)
        model = Model(network, backend, np.random.default_rng(0))
        model.restore(arrays)
        for module in _weighted(model):
            name = module.layer.name
            forward, backward = (_read_operand(f"{name}.{side}", arrays, text["ratios"]) for side in SIDES)
            module.take(forward, backward, arrays.get(f"{name}.order"))
            module.site.memory.update(below(arrays, f"{name}.memory."))
        told = {"metrics": dict(text["metrics"]), **{name: str(text[name]) for name in ("method", "ratio")}}
        return Saved(model, text | told)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception:  # a damaged one fails in as many ways as there are bytes
        raise InputError(f"{path}: not a trained model, or a damaged one") from None


def forward_weights(module: Weighted) -> Array:
    """What the forward product reads, dense: (outputs, *kernel, inputs), storage values, zero where pruned."""
    weights = module.forward_operand.weights
    if isinstance(weights, Packed):
        return unpack(weights, module.forward_operand.ratio, module.weight.value.shape[-1])
    return weights


def _weighted(model: Model) -> list[Weighted]:
    return [module for module in model.modules.values() if isinstance(module, Weighted)]


def _operand_arrays(name: str, operand: Operand) -> dict[str, Any]:
    if isinstance(operand.weights, Packed):
        return {f"{name}.values": operand.weights.values, f"{name}.indices": operand.weights.indices}
    return {name: operand.weights}


def _read_operand(name: str, arrays: dict[str, Any], ratios: dict[str, str]) -> Operand:
    if name not in ratios:
        return Operand(arrays[name], DENSE)
    ratio, values, indices = parse_ratio(ratios[name]), arrays[f"{name}.values"], arrays[f"{name}.indices"]
    _check_packed(values, indices, ratio)
    return Operand(Packed(values, indices), ratio)


def _check_packed(values: Array, indices: Any, ratio: Ratio) -> None:  # noqa: ANN401 (whatever a file holds)
    whole = values.shape == indices.shape and values.shape[-1] == ratio.n and indices.dtype == np.uint8
    if not whole or ratio.m > MAX_GROUP or (indices.size and indices.max() >= ratio.m):
        raise ValueError("values and indices do not fit the ratio")
