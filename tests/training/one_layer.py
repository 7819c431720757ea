"""One layer by itself, in binary64."""

from float64_backend import Float64Backend

from dataflow.network import INPUT, Network, Weighted
from training.layers import module_type


def layer(layer_type, name="layer", inputs=(INPUT,), **fields):
    return layer_type(name=name, inputs=inputs, **fields)


def build(shape, tested, rng):
    """Its module for samples of `shape`."""
    network = Network(name="one", input_shape=shape, layers=(tested,))
    of = network.weight_shape(tested) if isinstance(tested, Weighted) else shape
    return module_type(tested)(tested, Float64Backend(), of, rng)
