"""What operations say, read and write."""

from dataflow import zoo
from dataflow.ir import operations as op
from dataflow.ir.operations import Operand
from dataflow.ir.program import Vector
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Add, BatchNorm, Conv, GlobalPool, Linear, Network, Relu
from hw.config import PRESETS

TINY = PRESETS["tiny"]


def test_operands_are_found_by_their_fields():
    x, y = Operand("x", "a", 8), Operand("y", "a", 4)
    assert (op.Sum(layer="s", others=(x, y)).reads, op.Sum(layer="s", others=(x, y)).writes) == ((x, y), ())
    assert (op.Relu(layer="r", mask=x).reads, op.Relu(layer="r", mask=x).writes) == ((), (x,))
    assert (op.Mask(layer="r", mask=x).reads, op.Mask(layer="r", mask=x).writes) == ((x,), ())
    assert op.GlobalPool(layer="p", kind="mean").writes == ()
    assert op.GlobalPool(layer="p", kind="mean", output=y).writes == (y,)


def test_every_operation_has_a_text_and_its_writes_are_fields():
    kinds = op.Operation.__subclasses__()
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.TEXT
        assert set(kind.WRITES) <= set(kind.__dataclass_fields__)


def vectors(network, batch):
    return [command for command in lower(network, TINY, batch=batch).commands if isinstance(command, Vector)]


def test_traffic_is_that_of_all_operands():
    """A sum of two branches of 4×4×2 and a ReLU, at a batch of 3: 96 numbers of 2 bytes, and 96 bits."""
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=2, kernel=1),
        Conv(name="b", inputs=(INPUT,), out_channels=2, kernel=1),
        Add(name="sum", inputs=("a", "b")),
        Relu(name="on", inputs=("sum",)),
        GlobalPool(name="pool", inputs=("on",)),
        Linear(name="head", inputs=("pool",), out_features=5),
    )
    found = vectors(Network(name="net", input_shape=(4, 4, 2), layers=layers), 3)
    (joined,) = (command for command in found if command.layer == "b" and command.fused)
    assert joined.what == "convert, add, relu, global mean"
    assert (joined.reads, joined.writes) == (("a.output",), ("on.output", "on.mask", "pool.output"))
    assert (joined.read_bytes, joined.write_bytes) == (192, 192 + 12 + 3 * 2 * 2)
    (spread,) = (command for command in found if command.layer == "pool")
    assert spread.what == "spread mean, mask"
    assert spread.reads == ("head.input_gradient", "on.mask")
    assert (spread.read_bytes, spread.write_bytes) == (12 + 12, 192)


def test_a_norms_passes_name_what_they_need():
    layers = (
        Conv(name="c", inputs=(INPUT,), out_channels=8, kernel=1, bias=False),
        BatchNorm(name="norm", inputs=("c",)),
        Relu(name="on", inputs=("norm",)),
        GlobalPool(name="pool", inputs=("on",)),
        Linear(name="head", inputs=("pool",), out_features=5),
    )
    found = vectors(Network(name="net", input_shape=(4, 4, 2), layers=layers), 1)
    texts = [command.what for command in found]
    assert texts[:2] == ["convert, statistics", "normalise, relu, global mean"]
    (sums,) = (operation for command in found for operation in command.operations if isinstance(operation, op.GradientSums))
    assert (sums.layer, sums.value) == ("norm", Operand("c.output", "c", 256))


def test_a_vision_transformers_work_is_all_said():
    said = {operation.text for command in vectors(zoo.load("vit"), 1) for operation in command.operations}
    assert {"embed", "statistics", "normalise", "gelu", "gelu gradient", "normalise gradient", "sums over the batch"} <= said
