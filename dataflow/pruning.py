"""Which layers may be pruned, and how far: one rule for the trainer and for the scheduler."""

from dataflow.network import Network
from hw.ratio import DENSE, Ratio, Ratios


def pruned_layers(network: Network, *, prune_first: bool = False, prune_last: bool = False) -> frozenset[str]:
    """Names of the layers whose products may read N:M operands.

    The first weighted layer, whose input channels do not fill a group, and the last, the classifier, stay dense unless
    asked for; so does a layer whose own `prune` is false.
    """
    weighted = list(network.weighted())
    kept = set() if prune_first else {layer.name for layer in weighted[:1]}
    kept |= set() if prune_last else {layer.name for layer in weighted[-1:]}
    return frozenset(layer.name for layer in weighted if layer.prune and layer.name not in kept)


def layer_ratios(network: Network, ratios: Ratios, *, prune_first: bool = False, prune_last: bool = False) -> dict[str, Ratio]:
    """The ratio of every layer with weights, `DENSE` where it stays dense.

    Those of `pruned_layers` have what `ratios` says of them, and so has a layer that `ratios` calls by its whole name.

    Raises
    ------
    InputError
        Where `ratios` is of a layer that is not there.
    """
    names = [layer.name for layer in network.weighted()]
    ratios.check(names)
    pruned = pruned_layers(network, prune_first=prune_first, prune_last=prune_last)
    return {name: ratios.of(name) if name in pruned or ratios.names(name) else DENSE for name in names}
