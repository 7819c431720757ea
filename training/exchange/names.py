"""Tensors under PyTorch's names and in its layout: what a state dict of torchvision or timm holds."""

import re
from collections.abc import Mapping

import numpy as np

from dataflow import network, tokens
from dataflow.network import Network
from training.layers.module import Module
from training.model import Model
from training.numbers import Array

KINDS = {
    "weight": "weight",
    "bias": "bias",
    "scale": "weight",
    "shift": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "token": "cls_token",
    "position": "pos_embed",
}
"""Of our parameters and statistics."""

RULES = (
    (r"^layer(\d+)\.(\d+)\.conv(\d)$", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.conv{m[3]}"),
    (r"^layer(\d+)\.(\d+)\.conv(\d)\.norm$", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.bn{m[3]}"),
    (r"^layer(\d+)\.(\d+)\.project$", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (r"^layer(\d+)\.(\d+)\.project\.norm$", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (r"^block(\d+)\.attention\.norm$", lambda m: f"blocks.{int(m[1]) - 1}.norm1"),
    (r"^block(\d+)\.attention\.qkv$", lambda m: f"blocks.{int(m[1]) - 1}.attn.qkv"),
    (r"^block(\d+)\.attention\.project$", lambda m: f"blocks.{int(m[1]) - 1}.attn.proj"),
    (r"^block(\d+)\.mlp\.norm$", lambda m: f"blocks.{int(m[1]) - 1}.norm2"),
    (r"^block(\d+)\.mlp\.(fc\d)$", lambda m: f"blocks.{int(m[1]) - 1}.mlp.{m[2]}"),
)
"""How torchvision's residual networks and timm's vision transformers call the zoo's layers."""

ALONE = {"conv1.norm": "bn1", "patch": "patch_embed.proj"}
"""Layers with another name there."""


def torch_name(of: Network, layer: str, kind: str) -> str:
    """The name in a state dict of parameter `kind` of `layer`."""
    if kind in ("token", "position"):
        return KINDS[kind]
    known = of.name.removesuffix("-wide")
    if known in ("resnet18", "resnet50", "vit"):
        layer = ALONE.get(layer, layer)
        for pattern, name in RULES:
            layer = re.sub(pattern, name, layer)
    return f"{layer}.{KINDS[kind]}"


def to_torch(module: Module, kind: str, array: Array) -> Array:
    """A tensor in PyTorch's layout: convolutions (out, in, rows, columns), tokens and positions with a batch axis."""
    if kind == "weight" and isinstance(module.layer, network.Conv):
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))
    if isinstance(module.layer, tokens.Embed):
        return array.reshape(1, -1, array.shape[-1])
    return array


def from_torch(module: Module, kind: str, array: Array) -> Array:
    """The reverse of `to_torch`."""
    if kind == "weight" and isinstance(module.layer, network.Conv) and array.ndim == 4:
        return np.ascontiguousarray(np.moveaxis(array, 1, -1))
    if isinstance(module.layer, tokens.Embed):
        return array.reshape(-1) if kind == "token" else array.reshape(-1, array.shape[-1])
    return array


def tensors(model: Model, weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Every master and statistic of `model` as a state dict has it, weights replaced by those of `weights`, by layer."""
    found: dict[str, Array] = {}
    for layer, module in model.modules.items():
        for kind, array in module.state.items():
            given = (weights or {}).get(layer) if kind == "weight" else None
            value = array if given is None else given.astype(np.float32)
            found[torch_name(model.network, layer, kind)] = to_torch(module, kind, value)
    return found
