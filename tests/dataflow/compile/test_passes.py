"""Vector operations of the program as passes: where one ends, what it adds, and what it keeps."""

import pytest

from dataflow.compile.passes import Chain, Part
from dataflow.ir import operations as op
from dataflow.ir.operations import Operand
from dataflow.ir.program import Stage, Vector
from hw.errors import InputError
from hw.isa.bits import PassStep

SHIFT, SCALE, ROUND, RESIDUAL, NARROW, RELU, GATE = (
    PassStep[name] for name in ("SHIFT", "SCALE", "ROUND", "RESIDUAL", "NARROW", "RELU", "GATE")
)
BIAS, CONVERT, MEANS = op.Bias(layer="conv"), op.Convert(layer="conv"), op.GlobalPoolGradient(layer="pool", kind="mean")
ADDED = RESIDUAL | NARROW
TARGET = Operand("last.output", "last", 0)


def add(*tensors):
    return op.Sum(layer="add", others=tuple(Operand(tensor, "conv", 0) for tensor in tensors))


def relu(layer):
    return op.Relu(layer=layer, mask=Operand(f"{layer}.mask", layer, 0))


def mask(layer):
    return op.Mask(layer=layer, mask=Operand(f"{layer}.mask", layer, 0))


def vector(*operations, source=None, stage=Stage.FORWARD):
    source = Operand(source, "conv", 0) if source else None
    return Vector(layer="conv", stage=stage, fused=not source, elements=1, operations=operations, target=TARGET, source=source)


@pytest.mark.parametrize(
    ("operations", "parts"),
    [
        ((BIAS, CONVERT, relu("last")), [Part(SHIFT | NARROW | RELU, bias="conv", kept="last")]),
        ((CONVERT, mask("a"), op.BiasSums(layer="b")), [Part(NARROW | GATE, gate="a.output")]),
        ((BIAS, CONVERT, add("x")), [Part(SHIFT | ROUND | ADDED, bias="conv", residuals=["x"])]),
        ((CONVERT, add("x"), mask("a")), [Part(ROUND | ADDED | GATE, residuals=["x"], gate="a.output")]),
        ((CONVERT, mask("a"), add("x")), [Part(NARROW | GATE, gate="a.output"), Part(ADDED, residuals=["x"])]),
        ((CONVERT, add("x"), add("y")), [Part(ROUND | ADDED, residuals=["x"]), Part(ADDED, residuals=["y"])]),
        ((BIAS, mask("a"), mask("b")), [Part(SHIFT | GATE, bias="conv", gate="a.output"), Part(GATE, gate="b.output")]),
        ((CONVERT, add("x", "y")), [Part(ROUND | ADDED, residuals=["x", "y"])]),
        ((CONVERT, add("x", "y"), add("z")), [Part(ROUND | ADDED, residuals=["x", "y"]), Part(ADDED, residuals=["z"])]),
    ],
)  # fmt: skip
def test_a_pass_ends_where_the_next_operation_would_come_before_it(operations, parts):
    assert Chain.of(vector(*operations)) == Chain(None, parts)


def test_a_relu_whose_result_goes_on_is_kept():
    """Its mask is its output, which the sum behind it is not."""
    chain = Chain.of(vector(CONVERT, relu("a"), add("x"), relu("last")))
    assert chain.parts == [Part(NARROW | RELU, kept="a"), Part(ADDED | RELU, residuals=["x"], kept="last")]
    assert chain.kept == ["a"]
    assert [chain.written(number, "last.output") for number in range(2)] == ["a.output", "last.output"]


def test_gradients_are_added_in_their_order_from_memory():
    chain = Chain.of(vector(add("y"), add("z"), mask("a"), source="x"))
    assert chain == Chain("x", [Part(ADDED, residuals=["y"]), Part(ADDED | GATE, residuals=["z"], gate="a.output")])


def test_a_mean_is_rounded_before_it_is_added():
    chain = Chain.of(vector(MEANS, add("x"), mask("a"), source="m"))
    (part,) = chain.parts
    assert part == Part(SCALE | ROUND | ADDED | GATE, residuals=["x"], gate="a.output")
    assert part.split() == (Part(SCALE | NARROW), Part(ADDED | GATE, residuals=["x"], gate="a.output"))


def test_a_mean_beside_the_pass_goes_to_its_own_tensor_and_one_alone_to_the_target():
    own = Operand("pool.output", "pool", 0)
    pool, alone = op.GlobalPool(layer="pool", kind="mean", output=own), op.GlobalPool(layer="pool", kind="max")
    assert Chain.of(vector(CONVERT, pool)) == Chain(None, [Part(NARROW)], own, pool)
    assert Chain.of(vector(alone, source="x")) == Chain("x", [], TARGET, alone)


def test_pooling_is_passes_of_its_own():
    largest = op.PoolMaxGradient(layer="pool", index=Operand("pool.index", "pool", 0))
    everywhere = op.GlobalPoolGradient(layer="pool", kind="max")
    for pool in (largest, everywhere):
        chain = Chain.of(vector(pool, mask("a"), source="g"))
        assert chain.parts == [Part(alone=pool), Part(GATE, gate="a.output")]


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (op.LookUp(layer="first", rows=TARGET), "look up"),
        (op.GlobalPool(layer="pool", kind="median"), "global median"),
        (op.Map(layer="half", kind="mean"), "mean"),
    ],
)
def test_what_cannot_be_is_refused(operation, name):
    allowed = (
        "bias, scale, convert, add, spread mean, spread max, relu, mask, normalise, normalise gradient, bias sums, "
        "global mean, global max, sums over the batch, maximum of windows, scatter to maxima, mean of windows, spread means, "
        "parts in place, softmax, softmax gradient, gelu, gelu_tanh, silu, gelu gradient, gelu_tanh gradient, silu gradient, "
        "embed, spread, statistics, gradient sums"
    )
    with pytest.raises(InputError, match=f"^layer 'conv', forward: the accelerator cannot do '{name}'; allowed: {allowed}$"):
        Chain.of(vector(operation, add("x"), source="y"))
