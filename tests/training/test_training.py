"""Whole trainings: capture, repeatability, accuracy, errors."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow import zoo
from hw.errors import InputError
from hw.formats import BFLOAT16
from hw.ratio import Ratio
from training import methods
from training.backend import ExactBackend, FastBackend
from training.data import digits, load_data
from training.experiment import Experiment, run
from training.loop import Options, check_fit, train
from training.model import Model
from training.nm import Packed, unpack
from training.optimiser import Sgd
from training.schedule import load_schedule
from training.step import training_step

RATIO = Ratio(2, 8)
SMALL = {"input", "weight", "output", "output_gradient", "weight_gradient"}


def captured(network="cnn", method="bdwp", backend=None, capture=None, steps=2):
    """A model after a few steps on the first images; the last step is captured."""
    data = digits()
    model = Model(
        zoo.load(network), backend or ExactBackend(), np.random.default_rng(3), method=methods.load(method), ratio=RATIO
    )
    optimiser = Sgd(pruned_decay=model.method.pruned_decay)
    for step in range(steps):
        part = slice(8 * step, 8 * step + 8)
        training_step(model, optimiser, data.train_images[part], data.train_labels[part], 0.1, capture)
    return model


def test_capture_holds_the_contract_s_tensors():
    capture = {}
    model = captured(capture=capture)
    names = {name: {key.split(".")[1] for key in capture if key.startswith(f"{name}.")} for name in ("conv1", "conv2", "fc")}
    assert names == {
        "conv1": SMALL,
        "conv2": SMALL | {"weight_forward", "weight_backward", "input_gradient"},
        "fc": SMALL | {"input_gradient"},
    }
    for name, tensor in capture.items():
        if isinstance(tensor, Packed):
            assert tensor.values.dtype == np.float16 and tensor.indices.dtype == np.uint8
        else:
            wide = name.split(".")[1] in ("output", "input_gradient", "weight_gradient")
            assert tensor.dtype == (np.float32 if wide else np.float16), name
    assert capture["conv2.input"].shape == (8, 8, 8, 16) and capture["conv2.output"].shape == (8, 4, 4, 32)
    assert capture["conv2.weight"].shape == capture["conv2.weight_gradient"].shape == (3, 3, 16, 32)
    assert capture["conv2.weight_forward"].values.shape == (3, 3, 2, 2, 32)
    assert capture["conv2.weight_backward"].values.shape == (3, 3, 4, 2, 16)
    assert model.modules["conv2"].weight.value.shape == (32, 3, 3, 16)


def test_capture_holds_the_weights_that_the_step_used():
    capture, before = {}, captured(steps=1)
    captured(capture=capture, steps=2)
    stored = before.modules["conv3"].weight.value.astype(np.float16)
    np.testing.assert_array_equal(np.moveaxis(capture["conv3.weight"], -1, 0), stored)
    kept = unpack(capture["conv3.weight_forward"].map(lambda part: np.moveaxis(part, -1, 0)), RATIO, 32)
    np.testing.assert_array_equal(kept[kept != 0], stored[kept != 0])


def test_a_captured_training_is_the_same_training():
    plain, watched = captured().state(), captured(capture={}).state()
    assert all(plain[name].tobytes() == watched[name].tobytes() for name in plain)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_fast_and_exact_agree_after_a_step(network):
    fast, exact = (captured(network, backend=backend, steps=1).state() for backend in (FastBackend(), ExactBackend()))
    for name in exact:
        np.testing.assert_allclose(fast[name], exact[name], rtol=0, atol=1e-3)


def test_other_storage_formats_train():
    model = captured("mlp", backend=FastBackend(BFLOAT16))
    dense = model.modules["fc2"].dense
    assert dense.dtype == np.float32 and not (dense.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("storage", ["binary16", "bfloat16", "float8_e5m2", "float8_e4m3", "float8_e4m3fn", "binary32"])
def test_every_storage_format_learns(storage):
    """FP8 gradients keep two or three bits: less is asked of them."""
    _, metrics = run(Experiment(epochs=4, storage=storage))
    assert metrics["test_accuracy"] >= (0.8 if "8_" in storage else 0.93)


def test_adamw_label_smoothing_and_dropout_learn():
    changed = Experiment(epochs=5, optimiser="adamw", learning_rate=0.003, label_smoothing=0.1, dropout=0.1, warm_up=0.1)
    assert run(changed)[1]["test_accuracy"] >= 0.9


@pytest.mark.parametrize("exact", [False, True])
def test_equal_seeds_give_equal_bits_and_others_do_not(exact):
    experiment = Experiment(epochs=1, exact=exact, batch=64)
    (first, metrics), (second, again), (other, _) = (
        run(replace(experiment, seed=seed)) for seed in (experiment.seed, experiment.seed, experiment.seed + 1)
    )
    assert metrics == again
    for name, array in first.state().items():
        assert array.tobytes() == second.state()[name].tobytes()
    assert first.state()["fc2.weight"].tobytes() != other.state()["fc2.weight"].tobytes()


@pytest.mark.parametrize(
    "method, ratio, least",
    [("dense", RATIO, 0.96), ("bdwp", RATIO, 0.95), ("srste", RATIO, 0.95), ("bdwp", Ratio(2, 4), 0.95)],
)
def test_mlp_accuracy(method, ratio, least):
    _, metrics = run(Experiment(method=method, ratio=ratio))
    assert metrics["test_accuracy"] >= least
    assert metrics["train_loss"][-1] < 0.05 < metrics["train_loss"][0]


@pytest.mark.parametrize("method, least", [("dense", 0.96), ("bdwp", 0.95)])
def test_cnn_accuracy(method, least):
    _, metrics = run(Experiment(model="cnn", method=method))
    assert metrics["test_accuracy"] >= least


def test_the_split_is_fixed_and_stratified():
    data, again = load_data("digits"), load_data("digits")
    np.testing.assert_array_equal(data.test_images, again.test_images)
    assert data.train_images.shape == (1437, 8, 8, 1) and data.test_images.shape == (360, 8, 8, 1)
    assert data.train_images.min() == 0 and data.train_images.max() == 1
    assert np.ptp(np.bincount(data.test_labels)) <= 3


def test_schedules():
    assert [load_schedule("constant")(fraction) for fraction in (0, 0.5, 1)] == [1, 1, 1]
    assert [load_schedule("step")(fraction) for fraction in (0, 0.5, 0.75)] == [1, 0.1, 0.01]
    assert [load_schedule("step", 0.2)(fraction) for fraction in (0, 0.1, 0.2, 0.7, 1)] == [0, 0.5, 1, 0.1, 0.01]
    np.testing.assert_allclose([load_schedule("cosine")(fraction) for fraction in (0, 0.5, 1)], [1, 0.5, 0], atol=1e-15)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"data": "x"}, "unknown data 'x'; allowed: digits, mnist:PATH, folder:PATH, cifar10:PATH"),
        ({"schedule": "x"}, "unknown schedule 'x'; allowed: constant, cosine, step"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"learning_rate": 1e9, "epochs": 1}, "training diverged: the loss is not finite; lower the learning rate"),
    ],
)
def test_what_cannot_be_trained_says_so(fields, message):
    with pytest.raises(InputError, match=message):
        run(Experiment(**fields))


def test_a_network_for_other_images_is_refused():
    with pytest.raises(InputError, match=r"network 'resnet9' takes \(32, 32, 3\) and 10 classes, the data are \(8, 8, 1\)"):
        check_fit(zoo.load("resnet9"), digits())


def test_progress_counts_every_image():
    seen = []
    data = digits()
    model = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(0))
    train(model, Sgd(), data, Options(epochs=2, batch=1000), np.random.default_rng(0), seen.append)
    assert [(where.epoch, where.images) for where in seen] == [(1, 1000), (1, 1437), (2, 2437), (2, 2874)]
    assert all(where.epochs == 2 and where.total_images == 2874 for where in seen)


def test_the_python_interface_limits_blas_threads_as_the_command_does():
    """Products here are small: with two BLAS threads an epoch takes several times as much processor time."""
    from threadpoolctl import threadpool_info, threadpool_limits

    seen = set()

    def look(where):
        seen.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

    with threadpool_limits(2):
        model = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(0))
        train(model, Sgd(), digits(), Options(epochs=1, batch=512), np.random.default_rng(0), look)
    assert seen == {1}


@pytest.mark.parametrize(("name", "optimiser"), [("resnet9/16", "sgd"), ("vit/16", "adamw")])
def test_narrow_networks_take_the_data_as_they_are(name, optimiser):
    rate = {"sgd": 0.1, "adamw": 0.003}[optimiser]
    model, metrics = run(Experiment(model=name, ratio=RATIO, epochs=2, optimiser=optimiser, learning_rate=rate))
    assert (model.network.input_shape, model.network.classes) == ((8, 8, 1), 10)
    assert metrics["train_accuracy"][-1] > 0.4
    narrow = zoo.load(name)
    assert [type(layer) for layer in model.network.layers] == [type(layer) for layer in narrow.layers]
    assert run(Experiment(model="mlp", epochs=1))[0].network == zoo.load("mlp")


def test_a_narrow_network_that_the_images_are_too_small_for():
    with pytest.raises(InputError, match="layer 'pool4': a window of 2 does not fit an axis of 1"):
        run(Experiment(model="vgg19/16", epochs=1))


@pytest.mark.parametrize(("name", "narrow"), [("mlp/2", True), ("mlp", False), ("mlp/1", False), ("nets/mlp.py", False)])
def test_names_of_narrow_networks(name, narrow):
    assert zoo.is_narrow(name) == narrow
