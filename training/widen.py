"""Sparse-Wide: hidden widths that keep a sparse network's forward work that of the dense one."""

from dataclasses import replace
from math import lcm

from dataflow.network import INPUT, Conv, Layer, Linear, Network, Weighted
from dataflow.pruning import pruned_layers
from dataflow.rearrange import Gap, Reshape, Slice
from hw.errors import InputError
from hw.ratio import Ratio

FIXED = (Reshape, Slice, Gap)
"""Layers that say how wide they are."""

STEPS = 40
"""Halvings of the interval in which the factor is looked for: its width then changes no layer's."""


def widen(network: Network, ratio: Ratio, *, prune_first: bool = False, prune_last: bool = False) -> Network:
    """`network` with the outputs of every hidden weighted layer times one factor, the largest that needs no more forward work.

    Work is multiply-accumulates of a sample, pruned layers at N of every M input channels, and the dense network's is the
    limit. Layers that stay dense take their share, so that the factor is below sqrt(M/N), which Thangarasa et al.,
    *Sparse-IFT: Sparse iso-FLOP transformations for maximizing training efficiency*, 2023, have for hidden layers alone. Input
    and classes stay; a depthwise convolution stays depthwise; other grouped ones keep whole groups of M a group.

    Parameters
    ----------
    network : Network
        Dense.
    ratio : Ratio
        N kept of every M.
    prune_first, prune_last : bool
        See `dataflow.pruning.pruned_layers`.

    Raises
    ------
    InputError
        Where a layer is of a fixed width, as heads of attention are.
    """
    if ratio.is_dense:
        return network
    fixed = next((layer for layer in network.layers if isinstance(layer, FIXED)), None)
    if fixed is not None:
        raise InputError(f"network {network.name!r} cannot be made wider: layer {fixed.name!r} is of a fixed width")
    pruned = frozenset(pruned_layers(network, prune_first=prune_first, prune_last=prune_last))
    low, high = 1.0, ratio.m / ratio.n
    for _ in range(STEPS):
        middle = (low + high) / 2
        if forward_work(_scaled(network, ratio, middle), ratio, pruned) <= network.forward_macs:
            low = middle
        else:
            high = middle
    return _scaled(network, ratio, low)


def forward_work(network: Network, ratio: Ratio, pruned: frozenset[str]) -> int:
    """Multiply-accumulates of a sample's forward pass, layers in `pruned` at N of every M input channels."""
    return sum(_work(network, layer, ratio, layer.name in pruned) for layer in network.layers)


def _work(network: Network, layer: Layer, ratio: Ratio, pruned: bool) -> int:
    dense = network.macs(layer)
    if not pruned or not isinstance(layer, Weighted):
        return dense
    channels = network.weight_shape(layer)[-1]
    return dense // channels * (channels // ratio.m * ratio.n + min(channels % ratio.m, ratio.n))


def _scaled(network: Network, ratio: Ratio, factor: float) -> Network:
    """Every hidden width times `factor`; equal widths stay equal, so that sums of branches still fit."""
    last = list(network.weighted())[-1].name
    counts = {layer.groups for layer in network.layers if isinstance(layer, Conv) and not _is_depthwise(network, layer)}
    unit = lcm(*counts) * (ratio.m if max(counts, default=1) > 1 else 1)
    layers: list[Layer] = []
    shapes = {INPUT: network.input_shape}
    for layer in network.layers:
        if isinstance(layer, Conv) and _is_depthwise(network, layer):
            channels = shapes[layer.inputs[0]][-1]
            multiple = layer.out_channels // layer.groups
            layer = replace(layer, out_channels=multiple * channels, groups=channels)
        elif isinstance(layer, Conv) and layer.name != last:
            layer = replace(layer, out_channels=max(round(layer.out_channels * factor / unit), 1) * unit)
        elif isinstance(layer, Linear) and layer.name != last:
            layer = replace(layer, out_features=max(round(layer.out_features * factor / unit), 1) * unit)
        layers.append(layer)
        shapes[layer.name] = layer.output_shape(*(shapes[name] for name in layer.inputs))
    return replace(network, name=f"{network.name}-wide", layers=tuple(layers))


def _is_depthwise(network: Network, layer: Conv) -> bool:
    """Whether each input channel is a group of its own."""
    return layer.groups > 1 and layer.groups == network.shapes[layer.inputs[0]][-1]
