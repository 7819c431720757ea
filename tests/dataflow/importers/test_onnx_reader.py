"""What an ONNX file's nodes come to, by values: tables that are shared, slices, masks, names."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_file import File

from dataflow.axes import Lookup
from dataflow.importers import load
from dataflow.importers.onnx_constants import MASK_ELEMENTS, is_mask
from dataflow.rearrange import Concat, Gap, Slice

RNG = np.random.default_rng(0)


def tables(*, turned):
    """Rows of a table of 40 x 8 are looked up twice and multiplied; by the table itself, or by weights of that size."""
    f = File()
    table = f.numbers("table", RNG.standard_normal((40, 8), dtype=np.float32))
    for name in "ab":
        f.node("Gather", [table, "x"], name)
    f.node("Add", ["a", "b"], "s")
    weights = f.node("Transpose", [table], "t", perm=[1, 0]) if turned else f.numbers("w", np.ones((8, 40), np.float32))
    f.node("MatMul", ["s", weights], "y")
    return f


@pytest.mark.parametrize("turned, shared, parameters", [(False, [False, True], 2 * 320), (True, [True, True], 320)])
def test_a_table_is_counted_by_its_product_or_by_the_first_that_reads_it(tmp_path, turned, shared, parameters):
    network = load(tables(turned=turned).save(tmp_path / "a.onnx", ["N", 6], "y", kind=TensorProto.INT64)).network
    assert [layer.shared for layer in network.layers if isinstance(layer, Lookup)] == shared
    assert network.parameters == parameters


def halves(axis):
    """A tensor (N, 6, 8) in parts of 2 and 4 or of 3 and 5, put together the other way round, and a product behind it."""
    f = File()
    sizes = f.numbers("sizes", np.array([2, 4] if axis == 1 else [3, 5], np.int64))
    f.nodes.append(helper.make_node("Split", ["x", sizes], ["a", "b"], name="split", axis=axis))
    f.node("Concat", ["b", "a"], "c", axis=axis)
    f.node("MatMul", ["c", f.numbers("w", np.ones((8, 5), np.float32))], "y")
    return f


@pytest.mark.parametrize(
    "axis, parts", [(1, [(0, 0, 2), (0, 2, 4)]), (2, [(1, 0, 3), (1, 3, 5)]), (-1, [(1, 0, 3), (1, 3, 5)])]
)
def test_parts_along_any_axis_of_a_sample_are_slices_one_behind_the_other(tmp_path, axis, parts):
    network = load(halves(axis).save(tmp_path / "a.onnx", ["N", 6, 8], "y")).network
    assert [(layer.axis, layer.start, layer.size) for layer in network.layers if isinstance(layer, Slice)] == parts
    (joined,) = (layer for layer in network.layers if isinstance(layer, Concat))
    assert network.shapes[joined.name] == (6, 8)


def test_parts_along_the_batch_count_their_sizes_alone(tmp_path):
    f = File()
    f.nodes.append(helper.make_node("Split", ["x"], ["a", "b"], name="split", axis=0))
    f.node("Add", ["a", "b"], "s")
    f.node("MatMul", ["s", f.numbers("w", np.ones((8, 5), np.float32))], "y")
    network = load(f.save(tmp_path / "a.onnx", [4, 6, 8], "y")).network
    assert not [layer for layer in network.layers if isinstance(layer, Slice)]
    assert any(isinstance(layer, Gap) for layer in network.layers)


@pytest.mark.parametrize("stem, name", [("net", "net"), ("My-net_2", "My-net_2"), ("a b.c(1)", "a_b_c_1_"), ("été", "été")])
def test_a_network_has_its_files_name_of_letters_digits_and_dashes(tmp_path, stem, name):
    f = File()
    f.node("MatMul", ["x", f.constant("w", 8, 5)], "y")
    assert load(f.save(tmp_path / f"{stem}.onnx", ["N", 8], "y")).network.name == name


@pytest.mark.parametrize(
    "values, mask",
    [
        (np.tile([0.0, 1.0], (3, 1)), True),
        (np.arange(8.0).reshape(2, 4) % 4, True),
        (np.arange(10.0).reshape(2, 5), False),  # five values
        (np.zeros((4, 4)), False),  # one value
        (np.array([[0.0, 1.0, 0.0, 1.0, 1.0]]), False),  # along one axis
        (np.array([[0.0, 1.0], [1.0, 0.0]]), False),  # four numbers, which may be four values anyway
        (np.concatenate([np.zeros((64, 64)), np.arange(64.0)[None]]), False),  # many values, behind the first 4,096
        (None, False),
    ],
)
def test_a_mask_has_few_values_along_two_axes(values, mask):
    assert is_mask(values) is mask


def test_a_constant_of_more_than_four_million_numbers_is_learned_whatever_it_holds(tmp_path):
    """A mask of 2¹¹ by 2¹¹ is none of the parameters; one that is longer is not looked into."""
    assert MASK_ELEMENTS == 2**11 * 2**11

    def parameters(length):
        f = File()
        f.node("MatMul", ["x", f.constant("w", 4, 2048)], "m")
        f.node(
            "Add",
            ["m", f.numbers("mask", (np.arange(length * 2048, dtype=np.uint32) % 2).astype(np.float16).reshape(length, 2048))],
            "s",
        )
        f.node("MatMul", ["s", f.constant("v", 2048, 3)], "y")
        return load(f.save(tmp_path / "a.onnx", ["N", length, 4], "y")).network.parameters

    own = 4 * 2048 + 2048 * 3
    assert [parameters(length) - own for length in (4, 2048, 2049)] == [0, 0, 2049 * 2048]
