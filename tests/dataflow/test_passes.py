"""Vector operations of the program as passes: where one ends, what it adds, and what it keeps."""

import pytest

from dataflow.machine.passes import Chain, Part
from dataflow.program import Stage, Vector
from hw.errors import InputError


def vector(what, reads=(), writes=("last.output", "last.mask"), *, fused=True, stage=Stage.FORWARD):
    return Vector(
        layer="conv", what=what, stage=stage, fused=fused, elements=1, read_bytes=0, write_bytes=0, reads=reads, writes=writes
    )


@pytest.mark.parametrize(
    ("what", "reads", "parts"),
    [
        ("bias, convert, relu", (), [Part(["bias", "convert", "relu"], kept="last.output")]),
        ("convert, mask, bias sums", ("a.mask",), [Part(["convert", "mask"], gate="a.output")]),
        ("bias, convert, add", ("x",), [Part(["bias", "convert"]), Part(["add"], ["x"])]),
        ("convert, add, mask", ("x", "a.mask"), [Part(["convert"]), Part(["add", "mask"], ["x"], "a.output")]),
        ("convert, mask, add", ("a.mask", "x"), [Part(["convert", "mask"], gate="a.output"), Part(["add"], ["x"])]),
        ("convert, add, add", ("x", "y"), [Part(["convert"]), Part(["add"], ["x"]), Part(["add"], ["y"])]),
        ("bias, mask, mask", ("a.mask", "b.mask"), [Part(["bias", "mask"], gate="a.output"), Part(["mask"], gate="b.output")]),
        ("convert, add", ("x", "y"), [Part(["convert"]), Part(["add"], ["x", "y"])]),
    ],
)  # fmt: skip
def test_a_pass_ends_where_the_next_operation_would_come_before_it(what, reads, parts):
    assert Chain.of(vector(what, reads)) == Chain(None, parts)


def test_a_relu_whose_result_goes_on_is_kept():
    """Its mask is its output, which the sum behind it is not."""
    chain = Chain.of(vector("convert, relu, add, relu", ("x",), ("last.output", "a.mask", "last.mask")))
    assert chain.parts == [Part(["convert", "relu"], kept="a.output"), Part(["add", "relu"], ["x"], kept="last.output")]
    assert chain.kept == ["a.output"]
    assert [chain.written(number, "last.output") for number in range(2)] == ["a.output", "last.output"]


def test_gradients_are_added_in_their_order_from_memory():
    chain = Chain.of(vector("add, mask", ("x", "y", "z", "a.mask"), fused=False))
    assert chain == Chain("x", [Part(["add"], ["y"]), Part(["add", "mask"], ["z"], "a.output")])


def test_a_mean_is_rounded_before_it_is_added():
    chain = Chain.of(vector("spread mean, add, mask", ("m", "x", "a.mask"), fused=False))
    assert chain == Chain("m", [Part(["spread mean"]), Part(["add", "mask"], ["x"], "a.output")])


def test_what_cannot_be_is_refused():
    allowed = "bias, add, spread mean, convert, relu, mask, bias sums, global mean"
    message = f"^layer 'conv', forward: the accelerator cannot do 'normalise'; allowed: {allowed}$"
    with pytest.raises(InputError, match=message):
        Chain.of(vector("normalise, add, relu", ("x", "y"), fused=False))
    with pytest.raises(InputError, match=r"^layer 'conv', input_gradient: 2 additions of 3 tensors cannot be told apart$"):
        Chain.of(vector("convert, add, add", ("x", "y", "z"), stage=Stage.INPUT_GRADIENT))
