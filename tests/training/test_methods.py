"""What each method lets each product read."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.ir.program import Stage
from dataflow.pruning import pruned_layers
from hw.errors import InputError
from hw.ratio import Ratio
from training import methods
from training.backend import ExactBackend
from training.methods.bdwp import Bdwp
from training.methods.method import Method
from training.methods.site import Site
from training.model import Model
from training.nm import select, unpack

RATIO = Ratio(2, 8)
FORWARD, BACKWARD = frozenset({Stage.FORWARD}), frozenset({Stage.INPUT_GRADIENT})
NONE: frozenset[Stage] = frozenset()
STAGES = {
    "dense": NONE,
    "srste": FORWARD,
    "sdgp": BACKWARD,
    "sdgp-maxnorm": BACKWARD,
    "sdwp": BACKWARD,
    "bdwp": FORWARD | BACKWARD,
    "bdwp-srste": FORWARD | BACKWARD,
    "bdwp-mvue": frozenset(Stage),
    "bimask": FORWARD | BACKWARD,
    "transposable": FORWARD | BACKWARD,
    "decay-linear": NONE,
    "decay-exponential": NONE,
    "patterns-stepwise": FORWARD,
    "patterns-geometric": FORWARD,
    "random": FORWARD,
    "random-erk": FORWARD,
    "one-shot": NONE,
    "pretrain-2by4": frozenset(Stage),
    "s-ste": FORWARD | {Stage.WEIGHT_GRADIENT},
    "slope": FORWARD | BACKWARD,
}


def model(method, **switches):
    return Model(zoo.load("mlp"), ExactBackend(), np.random.default_rng(0), method=method, ratio=RATIO, **switches)


def test_the_registry_finds_every_file():
    assert set(methods.registry()) == STAGES.keys()
    assert all(name == found.name and issubclass(found, Method) for name, found in methods.registry().items())
    with pytest.raises(InputError, match=r"unknown method 'x'; allowed: bdwp, bdwp-mvue, .*, srste, transposable"):
        methods.load("x")


def test_stages():
    assert {name: found.sparse_stages for name, found in methods.registry().items()} == STAGES


def test_dense_reads_the_stored_master():
    module = model(methods.load("dense")).modules["fc2"]
    stored = module.weight.value.astype(np.float16)
    np.testing.assert_array_equal(module.forward_operand.weights, stored)
    np.testing.assert_array_equal(module.backward_operand.weights, stored.T)
    assert module.weight.pruned is None


def test_srste_masks_both_products_and_packs_the_forward():
    module = model(methods.load("srste")).modules["fc2"]
    stored = module.weight.value.astype(np.float16)
    masked = np.where(select(stored, RATIO), stored, 0)
    np.testing.assert_array_equal(unpack(module.forward_operand.weights, RATIO, 64), masked)
    np.testing.assert_array_equal(module.backward_operand.weights, masked.T)
    np.testing.assert_array_equal(module.weight.pruned, ~select(stored, RATIO))


@pytest.mark.parametrize("pruned_decay", [0.0, 2e-4])
def test_bdwp_packs_along_either_axis(pruned_decay):
    module = model(Bdwp(pruned_decay=pruned_decay)).modules["fc2"]
    stored = module.weight.value.astype(np.float16)
    for operand, axis in ((module.forward_operand, 1), (module.backward_operand, 0)):
        masked = np.where(select(stored, RATIO, axis), stored, 0)
        np.testing.assert_array_equal(unpack(operand.weights, RATIO, 64), masked if axis else masked.T)
    assert (module.weight.pruned is not None) == (pruned_decay > 0)


def test_pruned_decay_below_zero_is_refused():
    with pytest.raises(InputError, match=r"pruned_decay must be at least 0, not -1"):
        Bdwp(pruned_decay=-1)


def test_bdwp_mvue_samples_along_the_reduction_of_each_channel():
    """Sixteen samples and pixels are two groups of eight, of which two stay; a whole tensor times random factors otherwise."""
    gradient = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    site = Site(RATIO, rng=np.random.default_rng(1))
    sampled = methods.load("bdwp-mvue").weight_gradient_operand(gradient, site)
    assert ((sampled != 0).reshape(2, 8, 3).sum(axis=1) == 2).all()
    kept = sampled != 0
    assert (sampled[kept] / gradient[kept] >= 1).all()


def test_first_and_last_layer_stay_dense_unless_asked_for():
    network = zoo.load("cnn")
    assert pruned_layers(network) == {"conv2", "conv3"}
    assert pruned_layers(network, prune_first=True) == {"conv1", "conv2", "conv3"}
    assert pruned_layers(network, prune_last=True) == {"conv2", "conv3", "fc"}
    sparse = {name: not model(Bdwp()).modules[name].forward_operand.ratio.is_dense for name in ("fc1", "fc2", "fc3")}
    assert sparse == {"fc1": False, "fc2": True, "fc3": False}
    assert not model(Bdwp(), prune_last=True).modules["fc3"].forward_operand.ratio.is_dense


def test_constants_are_set_by_name_and_kind():
    assert methods.load("srste", {"pruned_decay": "0.25"}).pruned_decay == 0.25
    assert methods.load("transposable", {"refresh_steps": "7"}).refresh_steps == 7
    assert methods.load("bimask", {"candidates": "2147483647"}).candidates == 2**31 - 1
    assert methods.load("s-ste", {"sampled": "False"}).sampled is False
    assert methods.constants(methods.registry()["bimask"]) == ("pruned_decay", "refresh_steps", "candidates")


DECAY = {"dense": 1 / 80, "fine_tune": 0.1, "rate": 2e-4}
CONSTANTS = {
    "bdwp-srste": {"pruned_decay": 2e-4},
    "bimask": {"pruned_decay": 2e-4, "refresh_steps": 100, "candidates": 10},
    "decay-exponential": DECAY,
    "decay-linear": DECAY,
    "pretrain-2by4": {"pruned_decay": 6e-5, "refresh_steps": 40, "dense_end": 1 / 6, "sampled": True},
    "s-ste": {"sampled": True},
    "sdgp-maxnorm": {"epsilon": 1e-4},
    "slope": {"refresh_steps": 100},
    "srste": {"pruned_decay": 2e-4},
    "transposable": {"refresh_steps": 40},
}
"""Of methods that have any; decay of pruned weights is off in the others."""


@pytest.mark.parametrize("name", sorted(methods.registry()))
def test_constants_that_are_not_set_are_those_of_the_papers(name):
    method = methods.load(name)
    found = {constant: getattr(method, constant) for constant in methods.constants(type(method))}
    assert found == {"pruned_decay": 0.0} | CONSTANTS.get(name, {})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"x": "1"}, "method 'transposable' has no constant 'x'; it has: pruned_decay, refresh_steps"),
        ({"refresh_steps": "1.5"}, "refresh_steps='1.5': must be a whole number, 0..2147483647$"),
        ({"pruned_decay": "inf"}, "pruned_decay='inf': must be a finite number"),
        ({"pruned_decay": "two"}, "pruned_decay='two': must be a finite number"),
        ({"refresh_steps": "2147483648"}, "refresh_steps=2147483648: must be a whole number, 0..2147483647"),
        ({"refresh_steps": "-1"}, "refresh_steps='-1': must be a whole number, 0..2147483647"),
    ],
)
def test_a_wrong_constant_is_told(settings, message):
    with pytest.raises(InputError, match=message):
        methods.load("transposable", settings)
