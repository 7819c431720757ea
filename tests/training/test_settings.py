"""A method's constants, a method in a Python file, and ratios by layer, as the commands take them."""

import json

import numpy as np
import pytest

from dataflow import zoo
from dataflow.ir.program import Stage
from dataflow.lowering.lower import lower
from dataflow.pruning import layer_ratios
from hw.config import load_config
from hw.errors import InputError
from hw.ratio import DENSE, LayerRatios, Ratio, parse_ratios
from sim.cli import main
from training import methods
from training.backend import FastBackend
from training.model import Model
from training.sweep import Sweep

OWN = '''
from dataclasses import dataclass
from typing import ClassVar
from dataflow.ir.program import Stage
from training.methods.method import Method, kept

@dataclass(frozen=True)
class Later(Method):
    """Prunes the forward product from a step on."""

    first: int = 5
    name: ClassVar[str] = "later"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()

    def forward_weights(self, weights, site):
        return weights if site.moment.step < self.first else kept(weights, site.ratio)
'''


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_a_method_in_a_file_trains_sweeps_and_is_told_apart_by_its_content(tmp_path, capsys):
    file = tmp_path / "later.py"
    file.write_text(OWN)
    arguments = ["--epochs", "1", "--batch", "256", "--json"]
    assert call("train", "--method", str(file), "--set", "first=3", *arguments, "--out", str(tmp_path / "a")) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["settings"] == {"first": "3"} and metrics["method"] == str(file)
    file.write_text(OWN.replace("= 5", "= 6"))
    assert call("train", "--method", str(file), *arguments, "--out", str(tmp_path / "b")) == 0
    assert json.loads(capsys.readouterr().out)["files_sha256"] != metrics["files_sha256"]
    swept = ["--models", "mlp", "--methods", str(file), "--ratios", "2:4", "--seeds", "1", "--set", "first=0,9"]
    assert call("sweep", *swept, *arguments, "--out", str(tmp_path / "c")) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["settings"] for row in rows] == ["first=0", "first=9"]
    assert call("eval", str(tmp_path / "a" / "weights.npz"), "--json", "--out", str(tmp_path / "d")) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == metrics["test_accuracy"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = 1", r"own.py: must define one subclass of training.methods.method.Method with a name, not no method"),
        (OWN + OWN.replace("Later", "Last"), r"own.py: must define one subclass .*, not 2 methods"),
        ("1 / 0", r"own.py: ZeroDivisionError: division by zero"),
        (OWN.replace("first: int = 5", "first: int"), r"method 'later': a constant has no default|own.py: TypeError"),
    ],
)
def test_a_wrong_file_is_told(text, message, tmp_path):
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(InputError, match=message):
        methods.load(str(tmp_path / "own.py"))


def test_a_sweep_takes_all_values_with_all_where_a_method_has_the_constant():
    given = (("pruned_decay", ("0", "1e-4")), ("refresh_steps", ("10", "20")))
    cases = Sweep(models=("mlp",), methods=("dense", "srste", "transposable"), ratios=(Ratio(2, 4),), seeds=1, settings=given)
    found = [(case.method, *(value for _, value in case.settings)) for case in cases.cases()]
    assert found[:3] == [("dense",), ("srste", "0"), ("srste", "1e-4")]
    assert sorted(found[3:]) == [("transposable", a, b) for a in ("0", "1e-4") for b in ("10", "20")]
    with pytest.raises(InputError, match="none of the methods has a constant 'x'"):
        Sweep(settings=(("x", ("1",)),)).cases()


def test_ratios_by_layer_are_read_in_order():
    ratios = parse_ratios("fc=2:4, conv*=dense,*=2:8")
    assert [str(ratios.of(name)) for name in ("fc", "conv3", "fc2")] == ["2:4", "dense", "2:8"]
    assert str(ratios) == "fc=2:4,conv*=dense,*=2:8" and not ratios.is_dense
    assert parse_ratios("a=2:4").of("b") == DENSE and parse_ratios("2:4") == Ratio(2, 4)
    assert LayerRatios((("a", DENSE),)).is_dense


@pytest.mark.parametrize(
    "text, message",
    [
        ("fc=2:4,2:8", "ratio: each layer needs LAYER=N:M or LAYER=dense, such as fc=2:4"),
        ("=2:4", "ratio: each layer needs"),
        ("fc=5:4", "ratio '5:4': n must be in 1..m"),
    ],
)
def test_wrong_ratios_are_told(text, message):
    with pytest.raises(InputError, match=message):
        parse_ratios(text)


def test_a_layer_that_is_not_there_is_told():
    with pytest.raises(InputError, match="ratio: no layer with weights is called 'fcx'; there are fc1, fc2, fc3"):
        layer_ratios(zoo.load("mlp"), parse_ratios("fcx=2:4,*=2:8"))


def test_a_layer_called_by_name_is_pruned_where_its_place_would_keep_it_dense():
    network = zoo.load("cnn")
    names = [layer.name for layer in network.weighted()]
    assert names == ["conv1", "conv2", "conv3", "fc"]
    found = layer_ratios(network, parse_ratios("fc=2:4,conv3=dense,*=2:8"))
    assert [str(found[name]) for name in names] == ["dense", "2:8", "dense", "2:4"]


def test_trainer_and_program_have_the_same_ratios_by_layer():
    network, ratios = zoo.load("cnn"), parse_ratios("fc=2:4,conv3=dense,*=2:8")
    model = Model(network, FastBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=ratios)
    stages = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    program = lower(network, load_config("tiny"), batch=2, ratio=ratios, sparse_stages=stages)
    forward = {product.layer: product.ratio for product in program.products if product.stage == Stage.FORWARD}
    assert forward == {name: site.ratio for name, site in model.sites.items()}
    assert forward == {"conv1": DENSE, "conv2": Ratio(2, 8), "conv3": DENSE, "fc": Ratio(2, 4)}


def test_erk_is_of_the_layers_of_one_ratio():
    method = methods.load("random-erk")
    model = Model(
        zoo.load("cnn"), FastBackend(), np.random.default_rng(0), method=method, ratio=parse_ratios("conv2=2:4,*=2:8")
    )
    assert {site.ratio.m for name, site in model.sites.items() if name in ("conv2", "conv3")} == {4, 8}


def test_wide_needs_one_ratio(tmp_path, capsys):
    assert call("train", "--wide", "--ratio", "fc2=2:4", "--out", str(tmp_path)) == 2
    assert "--wide needs one ratio for all layers, not fc2=2:4" in capsys.readouterr().err


@pytest.mark.parametrize("name, said", [("bdwp-mvue", "samples no gradients"), ("slope", "saves nothing here")])
def test_a_report_says_what_the_accelerator_does_not_do_of_a_method(name, said, tmp_path, capsys):
    arguments = ["--config", "tiny", "--batch", "2", "--method", name, "--json", "--out", str(tmp_path)]
    assert call("report", "mlp", *arguments) == 0
    assert said in json.loads(capsys.readouterr().out)["assumptions"][-1]
