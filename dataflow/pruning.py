"""Which layers may be pruned: one rule for the trainer and for the scheduler."""

from dataflow.network import Network


def pruned_layers(network: Network, *, prune_first: bool = False, prune_last: bool = False) -> frozenset[str]:
    """Names of the layers whose products may read N:M operands.

    The first weighted layer, whose input channels do not fill a group, and the last, the classifier, stay dense unless
    asked for; so does a layer whose own `prune` is false.
    """
    weighted = list(network.weighted())
    kept = set() if prune_first else {layer.name for layer in weighted[:1]}
    kept |= set() if prune_last else {layer.name for layer in weighted[-1:]}
    return frozenset(layer.name for layer in weighted if layer.prune and layer.name not in kept)
