"""2:4 matrices in the form that compressed-tensors reads, taken apart bit by bit."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from dataflow import zoo
from hw.errors import InputError
from hw.ratio import Ratio, parse_ratios
from training import methods
from training.backend import FastBackend
from training.exchange.files import load_into, read_weights, write
from training.model import Model
from training.saved import Saved


def saved(ratio, network="mlp"):
    model = Model(zoo.load(network), FastBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=ratio)
    return Saved(model, {"method": "bdwp", "ratio": str(ratio), "storage": "binary16", "metrics": {}})


def test_values_bits_and_shape_are_the_forward_product_s_weights(tmp_path):
    given = saved(Ratio(2, 4))
    write(tmp_path / "packed.safetensors", given, packed=True)
    found = load_file(tmp_path / "packed.safetensors")
    expected = read_weights(given.model)["fc2"].astype(np.float32)
    outputs, inputs = found["fc2.weight.shape"]
    values, rebuilt = found["fc2.weight.compressed"], np.zeros((outputs, inputs), np.float32)
    for row in range(outputs):
        place = 0
        for column in range(inputs):
            if found["fc2.weight.bitmask"][row, column // 8] >> column % 8 & 1:
                rebuilt[row, column] = values[row, place]
                place += 1
        assert place == inputs // 2
    np.testing.assert_array_equal(rebuilt, expected)
    assert "fc2.weight" not in found and found["fc1.weight"].shape == (64, 64)


def test_what_is_not_2_of_4_stays_as_it_was(tmp_path):
    given = saved(parse_ratios("fc1=2:4,fc2=2:8"))
    write(tmp_path / "packed.safetensors", given, packed=True)
    write(tmp_path / "plain.safetensors", given)
    found, plain = load_file(tmp_path / "packed.safetensors"), load_file(tmp_path / "plain.safetensors")
    assert found["fc2.weight"].tobytes() == plain["fc2.weight"].tobytes() and "fc1.weight.compressed" in found
    load_into(given.model, tmp_path / "plain.safetensors")


@pytest.mark.parametrize(
    "ratio, network, name, dense, message",
    [
        (
            Ratio(2, 8),
            "mlp",
            "x.safetensors",
            False,
            "no linear layer has 2:4 weights in whole groups: there is nothing to pack",
        ),
        (Ratio(2, 4), "cnn", "x.safetensors", False, "there is nothing to pack"),
        (Ratio(2, 4), "mlp", "x.onnx", False, "packed weights are pruned ones, in .safetensors"),
        (Ratio(2, 4), "mlp", "x.safetensors", True, "packed weights are pruned ones, in .safetensors"),
    ],
)
def test_what_cannot_be_packed_is_told(ratio, network, name, dense, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write(tmp_path / name, saved(ratio, network), dense=dense, packed=True)
    assert not list(tmp_path.iterdir())
