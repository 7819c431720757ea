import dataclasses
import json

import numpy as np
import pytest

from dataflow import zoo
from dataflow.lowering.lower import lower
from hw.config import PRESETS, AcceleratorConfig
from hw.ratio import Ratio
from sim.cli import main
from sim.rtl.products import play_products
from sim.steps.cosim import check, check_steps, load_operands, summary
from training import methods
from training.backend import FastBackend
from training.data import load_data
from training.model import Model
from training.optimiser import Sgd


def model_of(name, method, ratio):
    return Model(zoo.load(name), FastBackend(), np.random.default_rng(0), method=methods.load(method), ratio=ratio)


@pytest.mark.parametrize("method", ["dense", "srste", "bdwp"])
@pytest.mark.parametrize(
    ("name", "ratio", "batch"), [("mlp", Ratio(2, 4), 7), ("cnn", Ratio(2, 8), 3), ("cnn", Ratio(1, 16), 1)]
)
def test_every_product_of_a_step_is_the_trainers_and_the_models(name, method, ratio, batch):
    ratio = ratio if methods.load(method).sparse_stages else Ratio(1, 1)
    checks = list(
        check_steps(
            PRESETS["tiny"],
            model_of(name, method, ratio),
            load_data("digits"),
            Sgd(),
            steps=2,
            batch=batch,
            rng=np.random.default_rng(1),
        )
    )
    result = summary(checks)
    layers = {layer.name for layer in zoo.load(name).weighted()}
    stages = {(row["layer"], row["stage"]) for row in result["products"]}
    assert len(stages) == 3 * len(layers) - 1, "all but the first layer's input gradient"
    assert result["steps"] == 2
    assert result["words_different"] == 0
    assert result["rtl_cycles"] == result["model_cycles"] == sum(row["rtl_cycles"] for row in result["products"])
    assert result["cycles_equal"]


def test_a_wrong_word_and_a_wrong_cycle_are_found():
    """The comparison fails when the hardware, or the trainer, says anything else."""
    config, ratio = PRESETS["tiny"], Ratio(2, 8)
    model = model_of("mlp", "bdwp", ratio)
    data = load_data("digits")
    image = {}
    from sim.steps.cosim import LEARNING_RATE
    from training.backend import ExactBackend
    from training.step import training_step

    model.set_backend(ExactBackend())
    training_step(model, Sgd(), data.train_images[:4], data.train_labels[:4], LEARNING_RATE, image)
    program = lower(model.network, config, batch=4, ratio=ratio, sparse_stages=model.method.sparse_stages)
    operands = [load_operands(config, product, image) for product in program.products]
    played = play_products(config, operands)
    assert summary([check(config, program, image, operands, played)])["words_different"] == 0

    wrong = [result.copy() for result in played.results]
    wrong[2].view(np.uint32)[0, 0] ^= 1
    late = [*played.cycles[:-1], played.cycles[-1] + 1]
    result = summary([check(config, program, image, operands, dataclasses.replace(played, results=wrong, cycles=late))])
    assert result["words_different"] == 1
    assert not result["cycles_equal"]

    image["fc2.weight_gradient"] = image["fc2.weight_gradient"].copy()
    image["fc2.weight_gradient"].view(np.uint32)[3, 3] ^= 1
    assert summary([check(config, program, image, operands, played)])["words_different"] == 1


def test_the_command_writes_what_it_compared(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["cosim", "--model", "mlp", "--epochs", "1", "--batch", "5", "--out", str(tmp_path), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert result == json.loads((tmp_path / "cosim.json").read_text())
    keys = {"steps", "commands", "words_compared", "words_different", "rtl_cycles", "model_cycles", "rtl_cycles_per_second"}
    assert keys <= set(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet18"], "resnet18"),
        (["--batch", "2000", "--model", "mlp", "--epochs", "1"], "batch must be at most the 1437 training images, not 2000"),
        (["--batch", "5000", "--model", "mlp", "--epochs", "1"], "--batch 5000 is too large: at most 4,096"),
        (["--steps", "0"], "--steps"),
        (["--method", "magic"], "unknown method 'magic'"),
        (["--ratio", "1:32"], "needs groups of 32"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["cosim", *arguments])
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert message in printed.err
    assert len([line for line in printed.err.splitlines() if line.startswith("nmtrain: ")]) == 1


def test_another_array_gives_the_same_words():
    """Sizes that are multiples of nothing, another adder latency and a smaller group."""
    config = AcceleratorConfig(name="odd", rows=3, columns=5, max_group=8, multiply_latency_cycles=1, add_latency_cycles=3)
    model = model_of("cnn", "bdwp", Ratio(2, 4))
    checks = check_steps(config, model, load_data("digits"), Sgd(), steps=1, batch=2, rng=np.random.default_rng(1))
    result = summary(list(checks))
    assert (result["words_different"], result["cycles_equal"]) == (0, True)
