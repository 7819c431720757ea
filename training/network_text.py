"""A network as plain data, so that a saved model needs no other file."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from dataflow.network import Network
from hw.errors import InputError
from training.layers import MODULES

KINDS = {kind.__name__: kind for kind in MODULES}


def describe(network: Network) -> dict[str, Any]:
    """``name``, ``input_shape`` and ``layers``: each layer's fields, and its class as ``layer``."""
    layers = [
        {"layer": type(layer).__name__} | TypeAdapter(type(layer)).dump_python(layer, mode="json") for layer in network.layers
    ]
    return {"name": network.name, "input_shape": list(network.input_shape), "layers": layers}


def rebuild(text: dict[str, Any]) -> Network:
    """The network that `describe` described.

    Raises
    ------
    KeyError, TypeError
        Where a field is missing.
    InputError
        Where a layer is not known or a field of it is wrong.
    """
    layers = []
    for fields in text["layers"]:
        kind = KINDS.get(fields["layer"])
        if kind is None:
            raise InputError(f"layer {fields.get('name')!r} is of unknown kind {fields['layer']!r}")
        try:
            layers.append(TypeAdapter(kind).validate_python({name: fields[name] for name in fields if name != "layer"}))
        except ValidationError as error:
            raise InputError(f"layer {fields.get('name')!r}: {error.errors()[0]['msg']}") from None
    return Network(name=text["name"], input_shape=tuple(text["input_shape"]), layers=tuple(layers))
