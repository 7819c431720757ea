"""Whole training steps on the accelerator's RTL are the trainer's, byte by byte."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dataflow import zoo
from dataflow.compile.memory import NEXT
from dataflow.ir.program import Dataflow
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Add, Conv, GlobalPool, Linear, Network, Relu
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import Load
from hw.isa.registers import COUNTERS, ErrorCode
from hw.ratio import Ratio
from sim.cli import main
from sim.rtl import sat
from sim.rtl.image import decode, encode, weights, write
from sim.steps.assembled import assemble_step, initial_memory
from sim.steps.whole_step import step_on_rtl
from training import methods
from training.backend import ExactBackend
from training.data import load_data
from training.loss import cross_entropy
from training.loss_scale import LossScale
from training.machine.executor import Executor
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd
from training.step import training_step

TINY = PRESETS["tiny"]
DATA = load_data("digits")


def model_of(name, method, ratio):
    return Model(zoo.load(name), ExactBackend(), np.random.default_rng(0), method=methods.load(method), ratio=ratio)


def steps(name, method, ratio, batch, count=1, optimiser=None, timing=sat.DEFAULT_TIMING, dataflow=None):
    """Outcomes of steps that follow each other."""
    model, optimiser = model_of(name, method, ratio), optimiser or Sgd()
    for number in range(count):
        part = slice(number * batch, (number + 1) * batch)
        images, labels = DATA.train_images[part], DATA.train_labels[part]
        yield step_on_rtl(TINY, model, optimiser, images, labels, 0.05, timing, lambda _: dataflow)


@pytest.mark.parametrize(
    ("name", "method", "ratio", "batch", "latency", "interval"),
    [
        ("mlp", "bdwp", Ratio(2, 8), 8, 20, 1),
        ("mlp", "bdwp", Ratio(1, 4), 5, 3, 2),
        ("mlp", "dense", Ratio(1, 1), 1, 60, 1),
        ("cnn", "bdwp", Ratio(2, 8), 3, 20, 1),
        ("cnn", "bdwp", Ratio(4, 16), 1, 5, 3),
        ("cnn", "dense", Ratio(1, 1), 2, 20, 1),
    ],
)
def test_all_tensors_of_a_step_are_the_trainers(name, method, ratio, batch, latency, interval):
    for step in steps(name, method, ratio, batch, 2, timing=Memory(latency, interval)):
        assert step.different == 0
        for program in step.programs:
            assert program.outcome.error == 0
            assert program.counted == program.predicted
            assert set(program.counted) == set(COUNTERS)
        kinds = {row["tensor"].removesuffix(NEXT).rpartition(".")[2] for row in step.rows}
        packed = {"weight_forward", "weight_backward"} if method == "bdwp" else set()
        assert kinds >= {"master", "bias", "weight", "weight_gradient", "output_gradient", *packed} - {"output_gradient"}


def conv(name, source, channels, **fields):
    return Conv(name=name, inputs=(source,), out_channels=channels, **({"kernel": 3, "padding": 1} | fields))


def tower(*layers):
    """A network on 4×4 pixels of 2 channels, with a classifier behind its last layer."""
    head = GlobalPool(name="pool", inputs=(layers[-1].name,)), Linear(name="head", inputs=("pool",), out_features=5)
    return Network(name="tower", input_shape=(4, 4, 2), layers=(*layers, *head))


RESIDUAL = tower(
    conv("stem", INPUT, 8), Relu(name="r0", inputs=("stem",)),
    conv("a", "r0", 8, bias=True), Relu(name="ra", inputs=("a",)),
    conv("b", "ra", 8), Add(name="s1", inputs=("b", "r0")), Relu(name="r1", inputs=("s1",)),
    conv("c", "r1", 16, stride=2), Relu(name="rc", inputs=("c",)), conv("d", "rc", 16),
    conv("short", "r1", 16, kernel=1, padding=0, stride=2, bias=True),
    Add(name="s2", inputs=("d", "short")), Relu(name="r2", inputs=("s2",)),
)  # fmt: skip
"""Two blocks as of ResNet, the second one with a projection."""

DENSELY = tower(
    conv("stem", INPUT, 8), conv("a", "stem", 8), Relu(name="ra", inputs=("a",)), Add(name="s1", inputs=("ra", "stem")),
    conv("b", "s1", 8), Add(name="s2", inputs=("b", "s1")), Add(name="s3", inputs=("s2", "stem")),
    Add(name="twice", inputs=("s3", "s3")),
)  # fmt: skip
"""A tensor with three readers, a ReLU before a sum, sums of sums, and a sum of a tensor and itself."""

GROUPED = tower(
    conv("stem", INPUT, 24, kernel=1, padding=0), conv("a", "stem", 48, groups=3, bias=True), Relu(name="ra", inputs=("a",)),
    conv("b", "ra", 24, groups=3), Add(name="sum", inputs=("b", "stem")), conv("deep", "sum", 24, groups=24, prune=False),
)  # fmt: skip
"""Groups of 8 channels, packed, whose rows are no whole groups of 16; and a depthwise convolution."""


def test_an_odd_accelerator():
    """Three columns, 32 bytes a beat, words of two lanes, bfloat16; the array alone would have conv2's weights stay."""
    config = replace(
        TINY,
        name="odd",
        columns=3,
        axi_data_bits=256,
        sore_lanes=2,
        wuve_lanes=2,
        vpu_lanes=2,
        storage="bfloat16",
        dram_channels=2,
    )
    step = step_on_rtl(config, model_of("cnn", "bdwp", Ratio(2, 8)), Sgd(), DATA.train_images[:2], DATA.train_labels[:2], 0.05)
    assert step.different == 0
    assert all(program.counted == program.predicted for program in step.programs)


@pytest.mark.parametrize("network", [RESIDUAL, DENSELY, GROUPED], ids=["residual", "densely", "grouped"])
def test_networks_that_are_no_chains(network):
    rng = np.random.default_rng(0)
    model = Model(network, ExactBackend(), rng, method=methods.load("bdwp"), ratio=Ratio(2, 8))
    images = to_storage(rng.standard_normal((2, *network.input_shape)).astype(np.float32), TINY.storage_format)
    step = step_on_rtl(TINY, model, Sgd(), images, np.array([1, 4]), 0.05)
    assert step.different == 0
    assert all(program.counted == program.predicted for program in step.programs)


def test_groups_that_are_not_filled_are_refused():
    network = tower(conv("stem", INPUT, 8), conv("a", "stem", 8, groups=2))
    model = Model(network, ExactBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=Ratio(2, 8))
    message = (
        "^layer 'a': its groups of channels are no whole groups of 2:8, which the accelerator cannot read packed; "
        "set prune=False for it$"
    )
    images = np.zeros((1, 4, 4, 2), np.float16)
    with pytest.raises(InputError, match=message):
        step_on_rtl(TINY, model, Sgd(), images, np.array([0]), 0.05)


@pytest.mark.parametrize(
    ("name", "method", "ratio", "batch", "latency", "interval"),
    [("mlp", "bdwp", Ratio(1, 4), 5, 3, 2), ("mlp", "dense", Ratio(1, 1), 8, 20, 1), ("cnn", "bdwp", Ratio(2, 8), 2, 20, 1)],
)
def test_weights_can_stay_in_all_products(name, method, ratio, batch, latency, interval):
    timing = Memory(latency, interval)
    (step,) = steps(name, method, ratio, batch, timing=timing, dataflow=Dataflow.WEIGHT_STATIONARY)
    assert step.different == 0
    for program in step.programs:
        assert program.outcome.error is ErrorCode.NONE
        assert program.counted == program.predicted


def test_weights_stay_between_a_power_of_two_of_columns():
    message = r"^fc1, forward: dataflow must be os on an accelerator whose columns are no power of two, not ws \(columns = 6\)$"
    with pytest.raises(InputError, match=message):
        assemble_step(
            replace(TINY, columns=6), model_of("mlp", "bdwp", Ratio(2, 8)), Sgd(), 0.1, 2, lambda _: Dataflow.WEIGHT_STATIONARY
        )


def test_activations_must_be_loaded_as_the_product_reads_them():
    model = model_of("mlp", "bdwp", Ratio(2, 8))
    assembled = assemble_step(TINY, model, Sgd(), 0.1, 2, lambda _: Dataflow.WEIGHT_STATIONARY)
    wrong = [replace(command, spread=0) if isinstance(command, Load) else command for command in assembled.forward]
    machine = Executor(TINY, np.zeros(assembled.memory.size_bytes, np.uint8))
    with pytest.raises(InputError, match=r"ACTIVATIONS are loaded with spread 0; the product reads [24]$"):
        machine.run(wrong)


def test_an_overflow_leaves_all_weights_as_they_were():
    optimiser = Sgd(loss_scale=LossScale(2.0**24))
    (step,) = steps("mlp", "bdwp", Ratio(2, 8), 4, optimiser=optimiser)
    assert optimiser.loss_scale.scale == 2.0**23, "the trainer skipped the step"
    assert step.programs[1].outcome.overflow, "the accelerator says so"
    assert {row["bytes_different"] for row in step.programs[1].rows} == {0}
    assert step.programs[1].counted == step.programs[1].predicted
    held = [row for row in step.rows if row["tensor"].endswith((".master", ".weight", ".weight_forward", ".weight_backward"))]
    assert held
    assert all(row["bytes_different"] == 0 for row in held)


def test_steps_go_on_from_place_to_place():
    """Two steps of one network, the second one on the places that the first one wrote."""
    model, optimiser, batch, storage = model_of("mlp", "bdwp", Ratio(2, 8)), Sgd(), 4, TINY.storage_format
    pair = [assemble_step(TINY, model, optimiser, 0.05, batch, exchanged=exchanged) for exchanged in (False, True)]
    tensors = pair[0].memory.tensors
    machine = Executor(TINY, initial_memory(TINY, pair[0], model, optimiser, DATA.train_images[:batch]))
    for number, programs in enumerate(pair):
        part = slice(number * batch, (number + 1) * batch)
        images, labels = DATA.train_images[part], DATA.train_labels[part]
        write(machine.memory, programs.memory["fc1.input"], model.backend.store(images), storage)
        machine.run(programs.forward)
        _, gradient = cross_entropy(decode(programs.memory["fc3.output"], machine.memory, storage), labels)
        scaled = model.backend.store(gradient * optimiser.loss_scale.scale)
        write(machine.memory, programs.memory["fc3.output_gradient"], scaled, storage)
        machine.run(programs.backward)
        training_step(model, optimiser, images, labels, 0.05)
        for name, values in weights(model, optimiser).items():
            tensor = tensors.get(name if number else name + NEXT)
            if tensor:
                due = encode(tensor, values, storage)
                assert machine.memory[tensor.offset : tensor.offset + tensor.size_bytes].tobytes() == due.tobytes(), tensor.name


def test_a_pruned_dense_copy_is_refused():
    message = "^layer 'conv2': a dense product reads pruned weights, which the accelerator does not write$"
    with pytest.raises(InputError, match=message):
        list(steps("cnn", "srste", Ratio(2, 8), 2))
    with pytest.raises(InputError, match="no decay of pruned weights"):
        assemble_step(TINY, model_of("cnn", "bdwp", Ratio(2, 8)), Sgd(pruned_decay=2e-4), 0.1, 2)


def test_the_command_runs_whole_steps(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["cosim", "--model", "mlp", "--epochs", "1", "--batch", "5", "--whole", "--out", str(tmp_path), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert result == json.loads((tmp_path / "cosim.json").read_text())
    (step,) = result["steps"]
    assert step["bytes_compared"] > 100_000
    assert step["bytes_different"] == sum(row["bytes_different"] for row in step["tensors"]) == 0
    assert step["counters_equal"]
    assert [program["name"] for program in step["programs"]] == ["forward", "backward"]
    assert all(len(program["commands"]) > 2 for program in step["programs"])
