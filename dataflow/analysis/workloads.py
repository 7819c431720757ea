"""What there is to run: networks with their layers, multiply-accumulates, parameters and bytes."""

from collections import defaultdict
from math import prod
from typing import Any

from dataflow.ir.program import Product, Program, Stage
from dataflow.lowering.lower import lower
from dataflow.network import Layer, Network, Weighted
from hw.config import AcceleratorConfig

MASTER_BYTES = 8
"""Of a parameter: master copy and momentum, binary32."""


def describe(network: Network, config: AcceleratorConfig) -> dict[str, Any]:
    """Sizes of one training sample on `config`, dense, as plain data.

    Parameters
    ----------
    network : Network
        What is described.
    config : AcceleratorConfig
        Gives the storage format that bytes are counted in.
    """
    program = lower(network, config, batch=1)
    word = config.storage_format.width // 8
    layers = {layer.name: layer for layer in network.layers}
    rows = [_layer(network, layers[name], products, word) for name, products in _by_layer(program).items()]
    return {
        "name": network.name,
        "input_shape": list(network.input_shape),
        "classes": network.classes,
        "layers": len(network.layers),
        "product_layers": len(rows),
        "macs": {str(stage): sum(row["macs"][stage] for row in rows) for stage in Stage},
        "parameters": network.parameters,
        "parameter_bytes": word * network.parameters,
        "master_bytes": MASTER_BYTES * network.parameters,
        "activation_bytes": word * sum(prod(network.shapes[layer.name]) for layer in network.layers),
        "rows": rows,
    }


def _by_layer(program: Program) -> dict[str, list[Product]]:
    layers: defaultdict[str, list[Product]] = defaultdict(list)
    for product in program.products:
        layers[product.layer].append(product)
    return dict(layers)


def _layer(network: Network, layer: Layer, products: list[Product], word_bytes: int) -> dict[str, Any]:
    name = layer.name
    shapes = network.input_shapes(layer)
    weights = prod(layer.weight_shape(shapes[0][-1])) if isinstance(layer, Weighted) else 0
    forward = products[0]
    return {
        "name": name,
        "kind": type(layer).__name__,
        "input_shape": list(shapes[0]),
        "output_shape": list(network.shapes[name]),
        "products": forward.count,
        "m": forward.m,
        "n": forward.n,
        "k": forward.k,
        "macs": {str(stage): sum(p.macs for p in products if p.stage is stage) for stage in Stage},
        "weights": weights,
        "weight_bytes": word_bytes * weights,
        "output_bytes": word_bytes * prod(network.shapes[name]),
    }
