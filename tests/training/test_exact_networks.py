"""Whole steps in exact mode, product by product against PyTorch in binary64, within the bound of their sums."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.network import Conv
from training import methods
from training.backend import ExactBackend
from training.data import random_data
from training.layers.weighted import Weighted
from training.loss_scale import LossScale
from training.model import Model
from training.optimiser import Sgd
from training.saved import forward_weights
from training.step import training_step

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")

UNIT = 2.0**-24
"""A rounding of binary32, relative; products of two binary16 numbers have none."""


def step_of(name, method):
    """The modules of a step of two images, and what it captured."""
    network = zoo.load(name)
    model = Model(network, ExactBackend(), np.random.default_rng(0), method=methods.load(method))
    data, capture = random_data(network.input_shape, network.shapes[network.layers[-1].name][-1], 0), {}
    read = {name: forward_weights(module) for name, module in model.modules.items() if isinstance(module, Weighted)}
    images, optimiser = data.train_images[:2].astype(np.float16), Sgd(loss_scale=LossScale(1.0))
    training_step(model, optimiser, images, data.train_labels[:2], 0.05, capture)
    return model.modules, read, capture


def product(layer, inputs, weights):
    """What a layer does without its bias."""
    if not isinstance(layer, Conv):
        return torch.nn.functional.linear(inputs, weights)
    window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
    return torch.nn.functional.conv2d(inputs.permute(0, 3, 1, 2), weights.permute(0, 3, 1, 2), None, **window).permute(
        0, 2, 3, 1
    )


def three(layer, inputs, weights, gradient):
    """The forward product and those of both gradients, in binary64."""
    inputs, weights = (torch.tensor(part.astype(np.float64), requires_grad=True) for part in (inputs, weights))
    output = product(layer, inputs, weights)
    output.backward(torch.tensor(gradient.astype(np.float64)).reshape(output.shape))
    return output.detach().numpy(), inputs.grad.numpy(), weights.grad.numpy()


@pytest.mark.parametrize("method", ["dense", "srste"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet9/32", "resnet18/32", "resnet50/32", "vgg19/32", "vit/32"])
def test_products_are_within_the_bound_of_their_sums(name, method):
    """A sum of n terms from zero, of which each meets at most n roundings, is off by n U / (1 - n U) of the terms' magnitudes.

    SR-STE prunes what the forward product reads; the input gradient's weights are others then.
    """
    modules, read, capture = step_of(name, method)
    for layer, weights in read.items():
        inputs, gradient = capture[f"{layer}.input"], capture[f"{layer}.output_gradient"]
        due = three(modules[layer].layer, inputs, weights, gradient)
        sizes = three(modules[layer].layer, *map(np.abs, (inputs, weights, gradient)))
        found = [capture[f"{layer}.output"], None, np.moveaxis(capture[f"{layer}.weight_gradient"], -1, 0)]
        if method == "dense":
            found[1] = capture.get(f"{layer}.input_gradient")
        terms = weights[0].size, weights.size // weights.shape[-1], gradient.size // gradient.shape[-1]
        for got, wanted, size, count in zip(found, due, sizes, terms, strict=True):
            if got is not None:
                bound = count * UNIT / (1 - count * UNIT) * size
                assert (np.abs(got.reshape(wanted.shape) - wanted) <= bound).all(), layer
                assert bound.mean() < 0.01 * np.abs(wanted).max(), layer  # a bound that says something
