"""Layers with explicit derivatives, one file each.

::

    module        what every layer is: forward, backward, parameters
    weighted      conv, linear: three products through one backend, operands that a method may prune
    normalising   batch_norm, layer_norm, softmax
    elementwise   relu, activation, add, dropout
    pooling       max_pool, axis_pool, global_pool
    tokens        embed, matmul of two activations
    rearranging   flatten, views

Every output and every gradient is rounded once to the storage format; inside a layer everything is binary32.
"""

from dataflow import axes, network, rearrange, tokens
from hw.errors import InputError
from training.layers.activation import Activation
from training.layers.add import Add
from training.layers.axis_pool import AxisPool
from training.layers.batch_norm import BatchNorm
from training.layers.conv import Conv
from training.layers.dropout import Dropout, DropoutModule
from training.layers.embed import Embed
from training.layers.flatten import Flatten
from training.layers.global_pool import GlobalPool
from training.layers.layer_norm import LayerNorm
from training.layers.linear import Linear
from training.layers.matmul import MatMul
from training.layers.max_pool import MaxPool
from training.layers.module import Module
from training.layers.relu import Relu
from training.layers.softmax import Softmax
from training.layers.views import Concat, Reshape, Select, Slice, Transpose

MODULES: dict[type[network.Layer], type[Module]] = {
    network.Add: Add,
    network.BatchNorm: BatchNorm,
    network.Conv: Conv,
    Dropout: DropoutModule,
    network.Flatten: Flatten,
    network.GlobalPool: GlobalPool,
    network.Linear: Linear,
    network.MaxPool: MaxPool,
    network.Relu: Relu,
    axes.AxisPool: AxisPool,
    rearrange.Concat: Concat,
    rearrange.Reshape: Reshape,
    rearrange.Slice: Slice,
    rearrange.Transpose: Transpose,
    tokens.Activation: Activation,
    tokens.Embed: Embed,
    tokens.LayerNorm: LayerNorm,
    tokens.MatMul: MatMul,
    tokens.Select: Select,
    tokens.Softmax: Softmax,
}


def module_type(layer: network.Layer) -> type[Module]:
    """The class that trains `layer`; `InputError` where there is none."""
    if type(layer) not in MODULES:
        allowed = ", ".join(sorted(known.__name__ for known in MODULES))
        raise InputError(f"layer {layer.name!r}: {type(layer).__name__} cannot be trained; allowed: {allowed}")
    return MODULES[type(layer)]
