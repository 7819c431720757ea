"""Einsum of one operand and of two: layers, shapes and products by hand."""

import pytest
from onnx_file import File, products

from dataflow.axes import Reduce
from dataflow.importers import load
from dataflow.network import Linear
from dataflow.rearrange import Reshape
from dataflow.tokens import MatMul
from hw.errors import InputError

SIZES = {"i": 4, "j": 6, "k": 10}


@pytest.mark.parametrize(
    "equation, shape", [("bij->bij", "ij"), ("bij->bji", "ji"), ("...ij->...ji", "ji"), ("bij->bi", "i"), ("bij->bj", "j")]
)
def test_of_one_operand_it_is_a_view_or_a_sum(tmp_path, equation, shape):
    """A product of the last axis stands behind it, so that there are weights."""
    f = File()
    f.node("Einsum", ["x"], "e", equation=equation)
    f.node("MatMul", ["e", f.constant("w", SIZES[shape[-1]], 3)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 4, 6], "y")).network
    layer = network.layers[0]
    assert isinstance(layer, Reshape if len(shape) == 2 else Reduce)
    assert network.shapes[layer.name] == tuple(SIZES[letter] for letter in shape)


@pytest.mark.parametrize("equation, constant", [("bij,jk->bik", 1), ("jk,bij->bik", 0), ("bij,jk", 1), ("kj,bij->bki", 0)])
def test_of_a_constant_it_is_a_linear_layer(tmp_path, equation, constant):
    """Six numbers of each of four rows by ten: rows of all samples are the columns."""
    f = File()
    sizes = equation.split("->")[0].split(",")[constant]
    operands = ["x", "x"]
    operands[constant] = f.constant("w", *(SIZES[letter] for letter in sizes))
    f.node("Einsum", operands, "y", equation=equation)
    network = load(f.save(tmp_path / "a.onnx", ["N", 4, 6], "y")).network
    assert products(network, 3) == {"Einsum_y": (1, 10, 12, 6)} and network.parameters == 60
    assert [type(layer) for layer in network.layers] == [Reshape, Linear, Reshape]


@pytest.mark.parametrize(
    "equation, matrices, shape",
    [
        ("bij,bkj->bik", (3, 4, 4, 6), (4, 4)),
        ("bij,bik->bjk", (3, 6, 6, 4), (6, 6)),
        ("bij,bij->bij", (72, 1, 1, 1), (4, 6)),
        ("bij,bik->bijk", (12, 6, 6, 1), (4, 6, 6)),
    ],
)
def test_of_two_activations_it_is_products_of_matrices(tmp_path, equation, matrices, shape):
    """Three samples of four rows of six; letters that both operands and the result have are products of their own."""
    f = File()
    f.node("MatMul", ["x", f.constant("w", 6, 6)], "e")
    f.node("Einsum", ["e", "e"], "y", equation=equation)
    network = load(f.save(tmp_path / "a.onnx", ["N", 4, 6], "y")).network
    assert products(network, 3)["Einsum_y"] == matrices and network.parameters == 36
    assert sum(isinstance(layer, MatMul) for layer in network.layers) == 1
    assert network.shapes[network.layers[-1].name] == shape


@pytest.mark.parametrize(
    "equation, said",
    [
        ("bij,bik,bil->bjkl", "Einsum of 3 operands; allowed: 1 or 2"),
        ("bij,bik->bj", "sums or repeats an axis of one operand alone"),
        ("bij,bij->bijj", "sums or repeats an axis of one operand alone"),
    ],
)
def test_what_is_no_product_is_told(tmp_path, equation, said):
    f = File()
    f.node("Einsum", ["x"] * (3 if "l" in equation else 2), "y", equation=equation)
    with pytest.raises(InputError, match=said):
        load(f.save(tmp_path / "a.onnx", ["N", 4, 6], "y"))
