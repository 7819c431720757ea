"""Narrow versions of the zoo's networks have every kind of layer that the whole ones have."""

import pytest

from dataflow import zoo
from hw.errors import InputError


@pytest.mark.parametrize("name", zoo.NAMES)
def test_kinds_of_layers_stay(name):
    network, narrow = zoo.load(name), zoo.load(f"{name}/16")
    assert {type(layer) for layer in narrow.layers} == {type(layer) for layer in network.layers}
    assert narrow.name == f"{name}/16" and len(narrow.layers) <= len(network.layers)
    assert narrow.forward_macs < network.forward_macs
    assert narrow.shapes[narrow.layers[-1].name][-1] >= 2
    assert zoo.load(f"{name}/1") == network


def test_what_is_divided():
    narrow = zoo.load("resnet50/16")
    assert narrow.input_shape == (56, 56, 3)
    assert narrow.shapes["conv1"] == (28, 28, 4)
    assert narrow.shapes["fc"] == (63,)
    blocks = {layer.name.split(".conv")[0] for layer in narrow.layers if ".conv3" in layer.name}
    assert blocks == {f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (1, 2)}


@pytest.mark.parametrize("divisor", ["0", "x", "1025", ""])
def test_what_is_no_scale_is_refused(divisor):
    with pytest.raises(InputError, match=r"the scale of mlp must be a whole number|at most 1,024|in 1\.\.1024"):
        zoo.load(f"mlp/{divisor}")


@pytest.mark.parametrize(
    "name, narrow",
    [
        ("resnet18/32", True),
        ("mlp/2", True),
        ("mlp/1", False),
        ("mlp", False),
        ("mlp/", False),
        ("mlp/x", False),
        ("mlp/-2", False),
        ("net/2", False),
        ("net", False),
        ("folder/2.onnx", False),
    ],
)
def test_a_narrow_version_has_a_divisor_above_one_behind_a_known_name(name, narrow):
    assert zoo.is_narrow(name) is narrow
