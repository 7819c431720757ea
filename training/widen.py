"""Sparse-Wide: hidden widths that keep a sparse network's forward work that of the dense one."""

from dataclasses import replace
from math import sqrt

from dataflow.network import Conv, Layer, Linear, Network
from hw.ratio import Ratio


def widen(network: Network, ratio: Ratio) -> Network:
    """`network` with the outputs of every hidden weighted layer times sqrt(M/N), rounded to whole groups of M.

    Thangarasa et al., *Sparse-IFT: Sparse iso-FLOP transformations for maximizing training efficiency*, 2023: W·E of a
    hidden layer then has N/M of M/N times the weights. Input and classes stay.
    """
    if ratio.is_dense:
        return network
    last = list(network.weighted())[-1].name
    layers = tuple(layer if layer.name == last else _widen(layer, ratio) for layer in network.layers)
    return replace(network, name=f"{network.name}-wide", layers=layers)


def _widen(layer: Layer, ratio: Ratio) -> Layer:
    if isinstance(layer, Conv):
        return replace(layer, out_channels=_wider(layer.out_channels, ratio), groups=layer.groups)
    if isinstance(layer, Linear):
        return replace(layer, out_features=_wider(layer.out_features, ratio))
    return layer


def _wider(width: int, ratio: Ratio) -> int:
    return max(round(width * sqrt(ratio.m / ratio.n) / ratio.m), 1) * ratio.m
