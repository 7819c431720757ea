"""Forward pass, gradients and ten updates of whole networks in binary64 against PyTorch, where it is installed."""

import numpy as np
import pytest
from float64_backend import Float64Backend

from dataflow import network, rearrange, tokens, zoo
from dataflow.network import INPUT
from training.adamw import AdamW
from training.layers.module import Parameter
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
    "adamw": lambda scale: AdamW(weight_decay=0.01, loss_scale=scale),
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
                return functional.layer_norm(x, x.shape[-1:], get("scale"), get("shift"), layer.epsilon)
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
                return layer.scale * (x @ (others[0].transpose(-1, -2) if layer.transposed else others[0]))
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


def close(ours, theirs, what, known=0.0):
    """Relative to the tensor's largest magnitude: single elements cancel to anything; beyond a difference that is known."""
    theirs = theirs.detach().numpy()
    scale, away = np.abs(theirs).max(), np.abs(ours - theirs) - known
    assert away.max() <= TOLERANCE * scale + 1e-14, (what, away.max() / scale)


def where_epsilon_is(adamw, name, rate):
    """How far a step parts from PyTorch's, which adds ε to the root: η |m̂| |1/√(v̂ + ε²) - 1/(√v̂ + ε)|."""
    (first, second), (sums, squares) = adamw.betas, (part.astype(np.float64) for part in adamw.moments[name])
    mean = sums * (1 - first) / (1 - first**adamw.steps)
    square = squares * (1 - second) / (1 - second**adamw.steps)
    epsilon = adamw.epsilon
    return rate * np.abs(mean) * np.abs(1 / np.sqrt(square + epsilon**2) - 1 / (np.sqrt(square) + epsilon))


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

    Batch norm over four images and attention multiply a difference by ten or more in a step, so that two right trainings part.
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
        if rule == "adamw":
            for parameter_name, parameter in model.parameters():
                known = where_epsilon_is(ours, parameter_name, rate)
                close(parameter.value, twin.learned[parameter_name], parameter_name, known)
                with torch.no_grad():  # or else gradients would differ from now on
                    twin.learned[parameter_name].copy_(torch.tensor(parameter.value))
    moved = 0.0
    for parameter_name, parameter in model.parameters():
        moved = max(moved, float(np.abs(parameter.value - start[parameter_name]).max()))
        close(parameter.value, twin.learned[parameter_name], parameter_name)
    assert moved > 1e3 * TOLERANCE  # far more than what the comparison lets pass


def test_adamw_of_binary32_within_its_bound():
    """Gradients of all sizes, with zeros among them.

    With u = 2**-24 and n steps, the sum of gradients has an error of 2n u Σ β^i |g|, that of squares, whose terms have one
    sign, of (2n + 1) u of itself, of which its root has half; the function unit's root one of 2**-20. Sum and difference, the
    rate and the decay are rounded: 6 u of what they are applied to. A weight's error does not grow, since 0 < 1 - ηλ < 1.
    """
    rng, count, rate, unit = np.random.default_rng(0), 12, float(np.float32(0.01)), 2.0**-24
    ours, parameter = AdamW(loss_scale=LossScale(1.0)), Parameter(rng.standard_normal(500).astype(np.float32))
    weight = torch.tensor(parameter.value.astype(np.float64), requires_grad=True)
    theirs = torch.optim.AdamW([weight], rate, ours.betas, ours.epsilon, weight_decay=float(ours.weight_decay))
    sizes, bound, absolute = 10.0 ** rng.integers(-9, 4, 500) * (rng.random(500) < 0.9), np.zeros(500), np.zeros(500)
    for step in range(1, count + 1):
        gradient = (sizes * rng.standard_normal(500)).astype(np.float32)
        parameter.gradient, weight.grad = gradient, torch.tensor(gradient.astype(np.float64))
        before = np.abs(parameter.value.astype(np.float64))
        assert ours.step([("w", parameter)], rate)
        theirs.step()
        factors, squares = ours.factors(rate, step), ours.moments["w"][1].astype(np.float64)
        absolute = np.abs(gradient) + ours.betas[0] * absolute
        share = factors.rate * absolute / np.sqrt(squares + factors.floor)
        bound += share * (2 * step * unit + (2 * step + 1) * unit + 2.0**-20 + 6 * unit)
        bound += (
            6 * unit * factors.rate * factors.decay * before + 2 * unit * (before + share) + where_epsilon_is(ours, "w", rate)
        )
        assert (np.abs(parameter.value - weight.detach().numpy()) <= bound).all()
    assert np.median(bound) < 1e-3 * count * rate  # far less than what the weights moved


def test_label_smoothing():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 5)), rng.integers(5, size=4)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels), label_smoothing=0.1)
    assert cross_entropy(logits, labels, 0.1)[0] == pytest.approx(float(theirs), rel=TOLERANCE)
