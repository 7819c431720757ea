"""Each method's own rule against its formula, and a method of one's own in one file."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.network import INPUT, Conv, GlobalPool, Linear, Network
from hw.errors import InputError
from hw.ratio import Ratio
from training import methods
from training.backend import FastBackend
from training.data import digits
from training.erk import erk_densities
from training.experiment import Experiment, run
from training.layers import module_type
from training.methods.bdwp import Bdwp
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


def test_bimask_takes_the_first_of_ten_orders_that_leaves_the_most_weights():
    """The authors' code: count what both masks keep, magnitudes do not matter, and the present order is no candidate."""
    method, site, layer = methods.load("bimask"), Site(RATIO), weights(16, 32)
    masked = kept(layer, RATIO)
    generator = np.random.default_rng(0)
    drawn = [generator.permutation(16) for _ in range(10)]
    counts = [np.count_nonzero(kept(masked[order], RATIO, 0)) for order in drawn]
    both = method.backward_weights(layer, site)
    np.testing.assert_array_equal(method.output_order(both, site), drawn[int(np.argmax(counts))])
    assert np.count_nonzero(both) == max(counts) > min(counts)
    assert method.backward_weights(layer, Site(RATIO)).tobytes() == both.tobytes()
    magnitudes = [float(np.abs(kept(masked[order], RATIO, 0)).sum()) for order in drawn]
    assert int(np.argmax(magnitudes)) != int(np.argmax(counts))  # so that the two rules can be told apart


def test_bimask_draws_an_order_once_in_100_steps():
    """Preparing a step twice, as going on from a checkpoint does, draws nothing and keeps the order."""
    method, site = methods.load("bimask"), Site(RATIO)
    drawn = []
    for step in (0, 0, 1, 100, 100, 101):
        site.moment = Moment(step)
        both = method.backward_weights(weights(64, 64, seed=step), site)
        drawn.append((method.output_order(both, site).tolist(), site.rng.bit_generator.state))
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3] == drawn[4] == drawn[5]


def test_bimask_permutes_within_the_groups_of_a_convolution():
    site = Site(RATIO, groups=2)
    method = methods.load("bimask")
    order = method.output_order(method.backward_weights(weights(32, 3, 3, 8), site), site)
    assert sorted(order[:16]) == list(range(16))


@pytest.mark.parametrize(
    "name, formula", [("decay-linear", lambda t: max(1 - t, 0)), ("decay-exponential", lambda t: np.exp(-t))]
)
def test_decay_follows_its_formula(name, formula):
    """c·t with c = 2e-4: of a training of unknown length from its start; of 1,000 steps, ten times as fast, from 1/80 on."""
    method, dense = methods.load(name), weights(8, 16)
    masked = kept(dense, RATIO)
    for moment, fade in (
        (Moment(2500), 0.5),
        (Moment(2500 + 250, 20_000), 0.5),
        (Moment(512, 1000), 0.9990),
        (Moment(899, 1000), 1.773),
    ):
        expected = np.where(masked != 0, dense, dense * np.float32(formula(fade)))
        np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=moment)), expected)


@pytest.mark.parametrize("name", ["decay-linear", "decay-exponential"])
def test_decay_is_dense_first_and_fine_tunes_a_binary_mask_at_the_end(name):
    method, dense = methods.load(name), weights(8, 16)
    masked = kept(dense, RATIO)
    for step, expected in ((0, dense), (12, dense), (900, masked), (999, masked), (1000, masked)):
        np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=Moment(step, 1000))), expected)
    assert np.count_nonzero(method.forward_weights(dense, Site(RATIO, moment=Moment(400, 1000)))) == dense.size
    with pytest.raises(InputError, match=r"dense and fine_tune must be at least 0, together below 1, not 0\.5 and 0\.5"):
        type(method)(dense=0.5, fine_tune=0.5)


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


@pytest.mark.parametrize(
    "last, kept_of_m",
    [
        (Ratio(2, 16), [15, 8, 4, 2]), (Ratio(1, 16), [15, 8, 4, 2, 1]), (Ratio(1, 32), [31, 16, 8, 4, 2, 1]),
        (Ratio(2, 8), [7, 4, 2]), (Ratio(2, 4), [3, 2]), (Ratio(3, 8), [7, 4, 3]), (Ratio(1, 2), [1]),
    ],
)  # fmt: skip
def test_stepwise_patterns_halve_down_to_the_ratio(last, kept_of_m):
    """As published: M-1, M/2, M/4 ... N of M."""
    assert [(ratio.n, ratio.m) for ratio in methods.load("patterns-stepwise").patterns(last)] == [
        (n, last.m) for n in kept_of_m
    ]


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


@pytest.mark.parametrize(
    ("given", "small", "large"),
    [
        ("2:8", 8, 2),  # the small one would need 3.8 and stays dense; the large one keeps 1012 / 4096 = 0.247 of 8
        ("4:16", 16, 4),  # the same of 16
        ("1:64", 15, 1),  # 64.25 weights over 136 rows and columns: 0.236 of the small one, 0.015 of the large one, of 64
    ],
)
def test_erk_ratios_are_the_densities_in_whole_weights_of_a_group(given, small, large):
    ratio = Ratio(*map(int, given.split(":")))
    found = methods.load("random-erk").ratios({"small": (4, 4), "large": (64, 64)}, ratio)
    assert found == {"small": Ratio(small, ratio.m), "large": Ratio(large, ratio.m)}


def test_one_shot_prunes_at_the_end():
    method, dense = methods.load("one-shot"), weights(8, 16)
    assert method.forward_weights(dense, Site(RATIO, moment=Moment(9, 10))) is dense
    np.testing.assert_array_equal(method.forward_weights(dense, Site(RATIO, moment=Moment(10, 10))), kept(dense, RATIO))


def work(network, ratio):
    """Multiply-accumulates of a forward pass at N of M, first and last layer dense, by a count of its own."""
    total, (first, *_, last) = 0, [layer.name for layer in network.weighted()]
    for layer in network.weighted():
        outputs, *kernel, channels = network.weight_shape(layer)
        left = sum(min(ratio.n, channels - start) for start in range(0, channels, ratio.m))
        pixels = np.prod(network.shapes[layer.name][:-1], dtype=int)
        total += pixels * outputs * np.prod(kernel, dtype=int) * (channels if layer.name in (first, last) else left)
    return total


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet9", "resnet18", "vgg19"])
@pytest.mark.parametrize("ratio", [Ratio(2, 4), Ratio(2, 8), Ratio(2, 16)], ids=str)
def test_wide_keeps_the_forward_work(name, ratio):
    """Within 4 %: widths are whole numbers. mlp is 74 w + w²/8 of 8,832 at 2:16, so that 101 channels are the most."""
    network = zoo.load(name)
    wide = widen(network, ratio)
    assert 0.96 <= work(wide, ratio) / network.forward_macs <= 1
    assert wide.classes == network.classes and wide.input_shape == network.input_shape
    assert widen(network, Ratio(1, 1)) is network


def test_wide_trains():
    _, metrics = run(Experiment(model="mlp", wide=True, epochs=1))
    assert metrics["wide"] and metrics["test_accuracy"] > 0.5


def test_wide_keeps_depthwise_layers_depthwise_and_groups_whole():
    shape = (8, 8, 8)
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=32, kernel=1),
        Conv(name="depthwise", inputs=("a",), out_channels=32, kernel=3, padding=1, groups=32),
        Conv(name="double", inputs=("depthwise",), out_channels=64, kernel=3, padding=1, groups=32),
        Conv(name="grouped", inputs=("double",), out_channels=64, kernel=3, padding=1, groups=2),
        GlobalPool(name="pool", inputs=("grouped",)),
        Linear(name="fc", inputs=("pool",), out_features=10),
    )
    wide = {layer.name: layer for layer in widen(Network(name="n", input_shape=shape, layers=layers), RATIO).layers}
    channels = wide["a"].out_channels
    assert channels > 32
    assert (wide["depthwise"].groups, wide["depthwise"].out_channels) == (channels, channels)
    assert (wide["double"].groups, wide["double"].out_channels) == (channels, 2 * channels)
    assert wide["grouped"].groups == 2 and wide["grouped"].out_channels % 16 == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_a_layer_is_depthwise_from_two_channels_on(channels):
    """Of one channel a layer has one group, and becomes as wide as others."""
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=channels, kernel=1),
        Conv(name="depthwise", inputs=("a",), out_channels=channels, kernel=3, padding=1, groups=channels),
        Conv(name="b", inputs=("depthwise",), out_channels=64, kernel=1),
        Conv(name="c", inputs=("b",), out_channels=64, kernel=3, padding=1),
        GlobalPool(name="pool", inputs=("c",)),
        Linear(name="fc", inputs=("pool",), out_features=10),
    )
    wide = {layer.name: layer for layer in widen(Network(name="n", input_shape=(8, 8, 8), layers=layers), RATIO).layers}
    outputs = wide["a"].out_channels
    assert outputs > channels
    assert (wide["depthwise"].groups, wide["depthwise"].out_channels) == (outputs if channels > 1 else 1, outputs)


def test_wide_says_where_a_layer_fixes_the_width_of_another():
    with pytest.raises(InputError, match=r"network 'vit' cannot be made wider: layer '.*' is of a fixed width"):
        widen(zoo.load("vit"), RATIO)


def wrong(hook, result):
    """BDWP with one hook that gives back `result` of what it is given."""
    return type("Wrong", (Bdwp,), {"name": "wrong", hook: lambda self, given, site: result(given)})()


def first(given, count):
    """The first of every eight along the last axis."""
    return np.where(np.arange(given.shape[-1]) % 8 < count, given, 0).astype(given.dtype)


FAULTS = [
    ("forward_weights", lambda given: first(given, 3), "keeps 3 of 8 weights, not 2"),
    ("forward_weights", lambda given: first(given, 1), "keeps 1 of 8 weights, not 2"),
    ("backward_weights", lambda given: first(given.T, 3).T.copy(), "keeps 3 of 8 weights, not 2"),
    ("forward_weights", lambda given: given[:-1], r"gives back float32 \(63, 64\), not float32 \(64, 64\)"),
    ("forward_weights", lambda given: given.astype(int), r"gives back int64 \(64, 64\), not float32"),
    ("backward_weights", lambda given: None, "gives back a NoneType, not an array"),
    ("input_gradient_operand", lambda given: given[:, 1:], r"gives back float32 \(16, 63\), not float32 \(16, 64\)"),
    ("weight_gradient_operand", lambda given: given[1:], r"gives back float32 \(15, 64\), not"),
    ("weight_gradient", lambda given: given[0], r"gives back float32 \(64,\), not float32 \(64, 64\)"),
    ("output_order", lambda given: np.zeros(64, int), r"must give back all of 0\.\.63 in some order, or None"),
]


@pytest.mark.parametrize("hook, result, told", FAULTS)
def test_what_a_method_gives_back_is_checked_by_method_and_layer(hook, result, told):
    data = digits()
    with pytest.raises(InputError, match=f"^method 'wrong', layer 'fc2': {hook} {told}"):
        model = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(0), method=wrong(hook, result), ratio=RATIO)
        training_step(model, Sgd(), data.train_images[:16], data.train_labels[:16], 0.1)


def test_zeros_may_be_among_what_a_method_keeps():
    """Weights of 0 cannot be told from pruned ones: a group with six of them may show fewer than two."""

    def with_zeros(given):
        return first(given, 2)

    model = Model(
        zoo.load("mlp"), FastBackend(), np.random.default_rng(0), method=wrong("forward_weights", with_zeros), ratio=RATIO
    )
    model.modules["fc2"].weight.value[:, ::8] = 0
    model.prepare()


OWN = '''
from dataclasses import dataclass
from typing import ClassVar
from dataflow.ir.program import Stage
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
