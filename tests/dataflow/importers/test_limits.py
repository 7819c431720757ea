"""Networks from outside have bounded sizes, whatever file they come from."""

import pytest

from dataflow.analysis.report import run_step
from dataflow.axes import Axis, AxisConv
from dataflow.ir.geometry import measure
from dataflow.network import INPUT, Add, Conv, Flatten, Linear, MaxPool, Network, check_batch
from dataflow.rearrange import Gap
from dataflow.tokens import MatMul
from hw.config import load_config
from hw.errors import InputError
from hw.ratio import DENSE


def network(*layers, shape=(8, 8, 3)):
    return Network(name="n", input_shape=shape, layers=layers)


def conv(**fields):
    return Conv(**{"name": "c", "inputs": (INPUT,), "out_channels": 4, "kernel": 3, "padding": 1} | fields)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([conv(out_channels=2**31)], (8, 8, 3), "layer 'c': .* is too large: at most 16,777,216 an axis"),
        ([conv(out_channels=-1)], (8, 8, 3), "layer 'c': each axis must be a whole number of at least 1"),
        ([Linear(name="l", inputs=(INPUT,), out_features=2.5)], (8,), "each axis must be a whole number"),
        ([conv(padding=2**40)], (8, 8, 3), "padding in 0..16,777,216"),
        ([conv(stride=0)], (8, 8, 3), "kernel, stride and dilation must be in 1..16,777,216"),
        ([conv(kernel=-3)], (8, 8, 3), "kernel, stride and dilation must be in 1.."),
        ([conv()], (8, -8, 3), "network 'n': input: each axis must be"),
        ([conv()], (2**24, 8, 3), "an axis of 16,777,216 is too large for a window: at most 1,048,576"),
        ([Gap(name="g", inputs=(INPUT,), shape=(2**20, 2**20, 2))], (8,), "1,099,511,627,776 elements a sample"),
        ([Linear(name="a\nb", inputs=(INPUT,), out_features=1)], (8,), "a name must be 1 to 200 printable characters"),
        ([Linear(name="x" * 201, inputs=(INPUT,), out_features=1)], (8,), "a name must be 1 to 200 printable characters"),
        ([Flatten(name=f"f{number}", inputs=(INPUT,)) for number in range(20_001)], (8,), "20,001 layers are too many"),
        *(
            (
                [MatMul(name="m", inputs=(INPUT, INPUT), transposed=True, scale=scale)],
                (4, 4),
                r"scale must be in 2\^-126..2\^127",
            )
            for scale in (0.0, 1e300, float("inf"), float("nan"))
        ),
        ([MaxPool(name="p", inputs=(INPUT,), kernel=2, stride=-1)], (8, 8, 3), "kernel, stride and dilation must be"),
    ],
)
def test_what_no_network_has_is_refused_where_it_is_said(layers, shape, message):
    with pytest.raises(InputError, match=message):
        network(*layers, shape=shape)


def test_sizes_that_double_are_stopped_at_the_first_that_is_too_large():
    layers = [Gap(name="g0", inputs=(INPUT,), shape=(2**23,))]
    layers += [Add(name=f"a{number}", inputs=("g0", "g0")) for number in range(3)]
    assert network(*layers, shape=(8,)).classes == 2**23


def test_strides_make_at_most_so_many_products():
    net = network(conv(kernel=1, padding=0, stride=64), shape=(64, 64, 3))
    assert len(measure(net, net.layers[0], 1).windows) == 2
    axes = (Axis(1, 65), Axis(1, 64))
    net = network(AxisConv(name="c", inputs=(INPUT,), out_channels=4, axes=axes), shape=(65, 64, 3))
    with pytest.raises(InputError, match="strides of 4,160 phases are too large: at most 4,096"):
        measure(net, net.layers[0], 1)


@pytest.mark.parametrize("batch, message", [(0, "at least 1, not 0"), (2**20 + 1, "is too large: at most 1,048,576")])
def test_a_batch_is_bounded(batch, message):
    check_batch(2**20)
    with pytest.raises(InputError, match=message):
        check_batch(batch)


def test_a_report_takes_fewer_samples_than_a_training_and_a_bounded_step():
    net, config = network(Conv(name="c", inputs=(INPUT,), out_channels=4, kernel=1), shape=(8, 8, 4)), load_config("tiny")
    with pytest.raises(InputError, match="batch 65537 is too large for a report: at most 65,536"):
        run_step(net, config, frozenset(), DENSE, 2**16 + 1)
    heavy = network(Conv(name="c", inputs=(INPUT,), out_channels=16384, kernel=1, bias=True), shape=(1, 1, 8192))
    with pytest.raises(InputError, match="has 134,234,112 weights, which is too large for a report: at most 134,217,728"):
        run_step(heavy, config, frozenset(), DENSE, 1)
    wide = network(Conv(name="c", inputs=(INPUT,), out_channels=4096, kernel=1), shape=(64, 64, 4096))
    with pytest.raises(
        InputError, match=r"batch 512 takes tiny at least [\d,]+ cycles, which is too large: at most 20,000,000,000"
    ):
        run_step(wide, config, frozenset(), DENSE, 512)
