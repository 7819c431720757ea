"""Each method's own rule against its formula, and a method of one's own in one file."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.network import INPUT, Conv
from hw.errors import InputError
from hw.ratio import Ratio
from training import methods
from training.backend import FastBackend
from training.data import digits
from training.erk import erk_densities
from training.experiment import Experiment, run
from training.layers import module_type
from training.methods.method import kept
from training.methods.site import Moment, Site
from training.model import Model
from training.nm import select, unpack
from training.optimiser import Sgd
from training.step import training_step
from training.transposable import transposable_mask
from training.widen import widen

RATIO = Ratio(2, 8)


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def trained(name, steps=3, network="mlp", total=None):
    model = Model(zoo.load(network), FastBackend(), np.random.default_rng(1), method=methods.load(name), ratio=RATIO)
    model.moment = Moment(0, total)
    data, optimiser = digits(), Sgd(pruned_decay=model.method.pruned_decay)
    for step in range(steps):
        part = slice(16 * step, 16 * step + 16)
        training_step(model, optimiser, data.train_images[part], data.train_labels[part], 0.1)
    return model


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("name", sorted(methods.registry()))
def test_every_method_trains(name, network):
    model = trained(name, network=network, total=3)
    assert all(np.isfinite(array).all() for array in model.state().values())


def test_sdgp_prunes_the_gradient_along_output_channels():
    gradient = weights(4, 5, 16)
    pruned = methods.load("sdgp").input_gradient_operand(gradient, Site(RATIO))
    np.testing.assert_array_equal(pruned, np.where(select(gradient, RATIO), gradient, 0))
    assert ((pruned != 0).reshape(4, 5, 2, 8).sum(-1) == 2).all()


def test_sdgp_prunes_nothing_but_the_input_gradient():
    module = trained("sdgp").modules["fc2"]
    assert module.forward_operand.ratio.is_dense and module.backward_operand.ratio.is_dense
    rows = weights(6, 16)
    assert module.method.weight_gradient_operand(rows, module.site) is rows


def test_maxnorm_restores_the_size_of_every_map():
    gradient = weights(3, 6, 6, 8)
    scaled = methods.load("sdgp-maxnorm").input_gradient_operand(gradient, Site(RATIO)).astype(np.float64)
    pruned = kept(gradient, RATIO).astype(np.float64)
    full, left = (np.abs(array.astype(np.float64)).sum((1, 2)) for array in (gradient, pruned))
    expected = pruned * (full / (left + 1e-4))[:, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=2**-10)


@pytest.mark.parametrize("shape", [(16, 16), (24, 3, 3, 16), (10, 12), (3, 5)])
@pytest.mark.parametrize("ratio", [Ratio(2, 4), Ratio(2, 8), Ratio(4, 8)])
def test_a_transposable_mask_is_n_of_m_along_both_axes(shape, ratio):
    magnitudes = weights(*shape)
    mask = transposable_mask(magnitudes, ratio)
    for start in range(0, shape[0], ratio.m):
        assert mask[start : start + ratio.m].sum(axis=0).max() <= ratio.n
    for start in range(0, shape[-1], ratio.m):
        assert mask[..., start : start + ratio.m].sum(axis=-1).max() <= ratio.n


def test_a_transposable_mask_is_within_half_of_the_best():
    """The best of a 4x4 block at 2:4 by trying all 90 masks."""
    from itertools import combinations, product

    pairs = [sum(1 << place for place in pair) for pair in combinations(range(4), 2)]
    rows = np.array([[bits >> place & 1 for place in range(4)] for bits in pairs])
    masks = [rows[list(chosen)] for chosen in product(range(6), repeat=4) if (rows[list(chosen)].sum(0) == 2).all()]
    assert len(masks) == 90
    for seed in range(20):
        block = np.abs(weights(4, 4, seed=seed)).astype(np.float64)
        best = max((block * mask).sum() for mask in masks)
        assert best / 2 <= (block * transposable_mask(block, Ratio(2, 4))).sum() <= best


def test_a_transposable_mask_serves_both_products_and_lasts_40_steps():
    method, site = methods.load("transposable"), Site(RATIO)
    first, second = weights(16, 16), weights(16, 16, seed=1)
    mask = method.forward_weights(first, site) != 0
    site.moment = Moment(39)
    np.testing.assert_array_equal(method.forward_weights(second, site), second * mask)
    site.moment = Moment(40)
    np.testing.assert_array_equal(method.forward_weights(second, site), second * transposable_mask(second, RATIO))
    np.testing.assert_array_equal(method.backward_weights(second, site), method.forward_weights(second, site))


def test_a_transposable_mask_serves_both_products_of_a_grouped_convolution():
    """12 outputs a group are no whole number of blocks of 8: blocks begin anew with every group."""
    layer = Conv(name="conv", inputs=(INPUT,), out_channels=24, kernel=3, groups=2)
    module = module_type(layer)(layer, FastBackend(), (24, 3, 3, 8), np.random.default_rng(0))
    module.prepare(methods.load("transposable"), Site(RATIO, groups=2))
    forward = unpack(module.forward_operand.weights, RATIO, 8)
    backward = unpack(module.backward_operand.weights, RATIO, 12)
    np.testing.assert_array_equal(module.transposed(forward), backward)


def test_bimask_keeps_backward_only_what_forward_keeps():
    module = trained("bimask").modules["fc2"]
    forward = unpack(module.forward_operand.weights, RATIO, 64)
    backward = unpack(module.backward_operand.weights, RATIO, 64)[:, np.argsort(module.order)].T
    assert sorted(module.order) == list(range(64)) and (module.order != np.arange(64)).any()
    np.testing.assert_array_equal(backward[backward != 0], forward[backward != 0])


def test_bimask_chooses_an_order_that_keeps_more():
    method, site = methods.load("bimask"), Site(RATIO)
    masked = kept(weights(64, 64), RATIO)
    order = method.output_order(masked, site)
    assert method._remaining(masked[order], site) > method._remaining(masked, site)


def test_bimask_draws_an_order_once_in_100_steps():
    """Preparing a step twice, as going on from a checkpoint does, draws nothing and keeps the order."""
    method, site = methods.load("bimask"), Site(RATIO)
    drawn = []
    for step in (0, 0, 1, 100, 100, 101):
        site.moment = Moment(step)
        drawn.append((method.output_order(weights(64, 64, seed=step), site).tolist(), site.rng.bit_generator.state))
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3] == drawn[4] == drawn[5]


def test_bimask_permutes_within_the_groups_of_a_convolution():
    site = Site(RATIO, groups=2)
    order = methods.load("bimask").output_order(weights(32, 3, 3, 8), site)
    assert sorted(order[:16]) == list(range(16))


@pytest.mark.parametrize("name, factor", [("decay-linear", 0.5), ("decay-exponential", np.exp(-0.5))])
def test_decay_follows_its_formula_and_ends_pruned(name, factor):
    method, dense = methods.load(name), weights(8, 16)
    masked = kept(dense, RATIO)
    expected = np.where(masked != 0, dense, dense * np.float16(factor))
    for moment in (Moment(2500), Moment(2500, 20_000), Moment(250, 1000)):
        np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=moment)), expected)
    np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=Moment(1000, 1000))), masked)


def test_patterns_take_equal_shares():
    stepwise, geometric = methods.load("patterns-stepwise"), methods.load("patterns-geometric")
    assert [str(stepwise.packing_ratio(Site(RATIO, moment=Moment(step, 9)))) for step in (0, 3, 6, 9)] == [
        "7:8",
        "4:8",
        "2:8",
        "2:8",
    ]
    assert [str(geometric.packing_ratio(Site(RATIO, moment=Moment(step, 8)))) for step in (0, 2, 4, 6)] == [
        "16:64",
        "8:32",
        "4:16",
        "2:8",
    ]
    assert str(stepwise.packing_ratio(Site(Ratio(2, 4), moment=Moment(0, 9)))) == "3:4"


def test_a_random_mask_is_n_of_m_and_stays():
    first, later = trained("random", 1).modules["fc2"], trained("random", 4).modules["fc2"]
    mask = first.site.memory["mask"]
    np.testing.assert_array_equal(mask, later.site.memory["mask"])
    assert (mask.reshape(64, 8, 8).sum(-1) == 2).all()
    assert not later.weight.gradient[~mask].any()


def test_erk_keeps_the_budget_and_saturates_small_layers():
    shapes = {"a": (8, 3, 3, 4), "b": (512, 3, 3, 512), "c": (64, 64)}
    densities = erk_densities(shapes, 0.25)
    sizes = {name: np.prod(shape) for name, shape in shapes.items()}
    assert densities["a"] == 1 and 0 < densities["b"] < densities["c"] <= 1
    assert sum(densities[name] * sizes[name] for name in shapes) == pytest.approx(0.25 * sum(sizes.values()))
    assert erk_densities({"a": (4, 4)}, 1.0) == {"a": 1.0}


def test_one_shot_prunes_at_the_end():
    method, dense = methods.load("one-shot"), weights(8, 16)
    assert method.forward_weights(dense, Site(RATIO, moment=Moment(9, 10))) is dense
    np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=Moment(10, 10))), kept(dense, RATIO))


def test_wide_keeps_the_forward_work():
    network = zoo.load("cnn")
    wide = widen(network, Ratio(2, 8))
    assert [layer.out_channels for layer in list(wide.weighted())[:3]] == [32, 64, 64] and wide.classes == 10
    assert widen(network, Ratio(1, 1)) is network
    _, metrics = run(Experiment(model="mlp", wide=True, epochs=1))
    assert metrics["wide"] and metrics["test_accuracy"] > 0.5


OWN = '''
from dataclasses import dataclass
from typing import ClassVar
from dataflow.program import Stage
from training.methods.method import Method, kept

@dataclass(frozen=True)
class Alternating(Method):
    """Prunes the forward product in every second step."""

    name: ClassVar[str] = "alternating"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()

    def forward_weights(self, weights, site):
        return weights if site.moment.step % 2 else kept(weights, site.ratio)
'''


def test_a_new_method_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "alternating.py").write_text(OWN)
    with monkeypatch.context() as patch:
        patch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
        methods.registry.cache_clear()
        assert run(Experiment(method="alternating", epochs=1))[1]["method"] == "alternating"
    methods.registry.cache_clear()
    with pytest.raises(InputError, match="unknown method 'alternating'"):
        methods.load("alternating")
