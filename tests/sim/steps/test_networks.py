"""The five networks of the evaluation, narrow, train on the RTL: every byte, cycle and counter of a step, as a user runs it."""

import json

import pytest

from dataflow import zoo
from dataflow.compile.assemble import assemble
from dataflow.compile.updates import Rates
from dataflow.lowering.lower import lower
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.cli import main
from training import methods

FIVE = ("resnet9", "resnet18", "resnet50", "vgg19", "vit")
NARROW = 32
RATES = Rates(unscale=-10, weight_decay=0, momentum=0, learning_rate=0)


@pytest.mark.parametrize("name", FIVE)
def test_a_step_of_a_narrow_network(name, tmp_path, capsys):
    options = ["--scale", str(NARROW), "--data", "random", "--batch", "2", "--epochs", "1", "--config", "tiny"]
    with pytest.raises(SystemExit) as ended:
        main(["cosim", "--whole", "--model", name, *options, "--out", str(tmp_path), "--json"])
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["bytes_different"] == 0
    assert step["counters_equal"]
    assert ended.value.code == 0
    commands = " ".join(row["commands"] for program in step["programs"] for row in program["commands"])
    assert {"PRODUCT", "PASS", "UPDATE"} <= set(commands.replace(",", "").split())


@pytest.mark.parametrize("name", FIVE)
def test_the_number_of_commands_does_not_follow_the_batch(name):
    """At full size, on the largest accelerator: of eight times the batch, some parts of products and passes more or less.

    Nothing is cut into more than sixteen.
    """
    config, network = PRESETS["vcu1525"], zoo.load(name)

    def commands_of(batch):
        program = lower(network, config, batch=batch, ratio=Ratio(2, 8), sparse_stages=methods.load("bdwp").sparse_stages)
        assembled = assemble(network, program, config, RATES)
        return len(assembled.forward) + len(assembled.backward)

    assert commands_of(4096) <= 1.5 * commands_of(512)
