"""Forward pass, gradients and ten updates of whole networks in binary64 against PyTorch, where it is installed."""

import numpy as np
import pytest
from float64_backend import Float64Backend

from dataflow import network, rearrange, tokens, zoo
from dataflow.network import INPUT
from training.adamw import AdamW
from training.loss import cross_entropy
from training.loss_scale import LossScale
from training.model import Model
from training.optimiser import Sgd
from training.step import training_step

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")

BATCH = 4
TOLERANCE = 1e-10
SHAPES = {"resnet18": (32, 32, 3), "resnet50": (64, 64, 3)}
"""Smaller images where the network's own would take minutes; the layers are the same."""
DEEP = {"resnet18", "resnet50", "vgg19", "vit"}
RULES = {
    "sgd": lambda scale: Sgd(loss_scale=scale),
    "adamw": lambda scale: AdamW(weight_decay=0.01, epsilon=1e-4, loss_scale=scale),
}


class Twin:
    """The same network in PyTorch, layer by layer from the same description, weights copied."""

    def __init__(self, model):
        self.network = model.network
        self.learned = {
            name: torch.tensor(parameter.value.copy(), requires_grad=True) for name, parameter in model.parameters()
        }

    def forward(self, images):
        tensors = {INPUT: torch.tensor(images)}
        for layer in self.network.layers:
            tensors[layer.name] = self.layer(layer, *(tensors[name] for name in layer.inputs))
        return tensors[self.network.layers[-1].name]

    def layer(self, layer, *inputs):
        (x, *others) = inputs
        get = lambda kind: self.learned.get(f"{layer.name}.{kind}")  # noqa: E731
        functional = torch.nn.functional
        match layer:
            case network.Conv():
                weight = get("weight").permute(0, 3, 1, 2)
                x = x.permute(0, 3, 1, 2)
                y = functional.conv2d(x, weight, get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups)
                return y.permute(0, 2, 3, 1)
            case network.Linear():
                return functional.linear(x, get("weight"), get("bias"))
            case network.BatchNorm():
                axes = tuple(range(x.ndim - 1))
                normal = (x - x.mean(axes)) / torch.sqrt(x.var(axes, correction=0) + layer.epsilon)
                return normal * get("scale") + get("shift")
            case tokens.LayerNorm():
                return functional.layer_norm(x, x.shape[-1:], get("scale"), get("shift"))
            case network.Relu():
                return torch.relu(x)
            case tokens.Activation():
                return functional.gelu(x)
            case network.MaxPool():
                return functional.max_pool2d(x.permute(0, 3, 1, 2), layer.kernel, layer.stride, layer.padding).permute(
                    0, 2, 3, 1
                )
            case network.GlobalPool():
                return x.mean((1, 2)) if layer.kind == "mean" else x.amax((1, 2))
            case network.Add():
                return x + others[0]
            case network.Flatten():
                return x.flatten(1)
            case tokens.MatMul():
                return x @ (others[0].transpose(-1, -2) if layer.transposed else others[0])
            case tokens.Softmax():
                return torch.softmax(x, -1)
            case tokens.Embed():
                flat = x.flatten(1, -2)
                return torch.cat([get("token").expand(len(x), 1, -1), flat], 1) + get("position")
            case tokens.Select():
                return x[:, layer.index]
            case rearrange.Slice():
                return x.narrow(layer.axis + 1, layer.start, layer.size)
            case rearrange.Reshape():
                return x.reshape(len(x), *layer.shape)
            case rearrange.Transpose():
                return x.permute(0, *(axis + 1 for axis in layer.axes))
        raise AssertionError(f"{type(layer).__name__} has no twin")


def close(ours, theirs, what):
    """Relative to the tensor's largest magnitude: single elements cancel to anything."""
    theirs = theirs.detach().numpy()
    scale = np.abs(theirs).max()
    assert np.abs(ours - theirs).max() <= TOLERANCE * scale + 1e-14, (what, np.abs(ours - theirs).max() / scale)


def prepared(name):
    plain = zoo.load(name)
    if name in SHAPES:
        plain = network.Network(name=name, input_shape=SHAPES[name], layers=plain.layers)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCH, *plain.input_shape))
    return Model(plain, Float64Backend(), rng), images, rng.integers(plain.classes, size=BATCH)


NETWORKS = ["mlp", "cnn", "resnet9", "resnet18", "resnet50", "vgg19", "vit"]


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_gradients(name):
    model, images, labels = prepared(name)
    twin = Twin(model)
    training_step(model, Sgd(loss_scale=LossScale(1.0)), images, labels, 0.0)
    logits = twin.forward(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), label_smoothing=0.0)
    loss.backward()
    assert cross_entropy(logits.detach().numpy(), labels)[0] == pytest.approx(float(loss.detach()), rel=TOLERANCE)
    for parameter_name, parameter in model.parameters():
        close(parameter.gradient, twin.learned[parameter_name].grad, parameter_name)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_ten_updates(name, rule):
    """With a small learning rate, smaller still where rounding grows from step to step.

    Batch norm over four images and attention multiply a difference by ten or more in a step, so that two right trainings
    part; Adam divides by gradients that are nearly zero, which a larger epsilon prevents.
    """
    model, images, labels = prepared(name)
    twin = Twin(model)
    ours = RULES[rule](LossScale(1.0))
    start = {parameter_name: parameter.value for parameter_name, parameter in model.parameters()}
    rate = 2.0 ** (-24 if name in DEEP else -12)
    learned = list(twin.learned.values())
    if rule == "sgd":
        theirs = torch.optim.SGD(learned, rate, float(ours.momentum), weight_decay=float(ours.weight_decay))
    else:
        theirs = torch.optim.AdamW(learned, rate, ours.betas, ours.epsilon, weight_decay=float(ours.weight_decay))
    for _ in range(10):
        training_step(model, ours, images, labels, rate)
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(twin.forward(images), torch.tensor(labels)).backward()
        theirs.step()
    moved = 0.0
    for parameter_name, parameter in model.parameters():
        moved = max(moved, float(np.abs(parameter.value - start[parameter_name]).max()))
        close(parameter.value, twin.learned[parameter_name], parameter_name)
    assert moved > 1e3 * TOLERANCE  # far more than what the comparison lets pass


def test_label_smoothing():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 5)), rng.integers(5, size=4)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels), label_smoothing=0.1)
    assert cross_entropy(logits, labels, 0.1)[0] == pytest.approx(float(theirs), rel=TOLERANCE)
