"""A trainable model of a network."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from dataflow.network import INPUT, Network, Shape
from dataflow.pruning import layer_ratios
from hw.ratio import DENSE, Ratio, Ratios
from training.backend import Backend
from training.layers import module_type
from training.layers.module import Module, Parameter, Pass
from training.layers.views import Slice
from training.layers.weighted import Weighted
from training.methods.dense import Dense
from training.methods.method import Method
from training.methods.site import Moment, Site
from training.nm import Mask
from training.numbers import Array


class Model:
    """The layers of a network with their weights, run forward and backward.

    Parameters
    ----------
    network : Network
        What to train.
    backend : Backend
        With which arithmetic.
    rng : numpy.random.Generator
        Draws the initial weights, layer by layer in the network's order.
    method : Method
        What is pruned in which product.
    ratio : Ratio or LayerRatios
        N kept of every M; `DENSE` prunes nothing under any method.
    prune_first, prune_last : bool
        See `dataflow.pruning.pruned_layers`.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        rng: np.random.Generator,
        *,
        method: Method | None = None,
        ratio: Ratios = DENSE,
        prune_first: bool = False,
        prune_last: bool = False,
    ) -> None:
        self.network = network
        self.backend = backend
        self.method = method or Dense()
        self.ratio = ratio
        self.prune_first, self.prune_last = prune_first, prune_last
        self.ratios = layer_ratios(network, ratio, prune_first=prune_first, prune_last=prune_last)
        weighted = {layer.name: network.weight_shape(layer) for layer in network.weighted()}
        self.modules: dict[str, Module] = {}
        for layer in network.layers:
            shape = weighted.get(layer.name, network.shapes[layer.inputs[0]])
            self.modules[layer.name] = module_type(layer)(layer, backend, shape, rng)
        self._learned = self._learned_tensors()
        self.moment = Moment()
        self.sites = self._sites(weighted, rng)
        self.prepare()

    def prepare(self) -> None:
        """Make every layer's operands from its master weights: after construction and after each update."""

        def prepare(module: Weighted) -> None:
            site = self.sites[module.layer.name]
            site.moment = self.moment
            module.prepare(self.method, site)

        self.backend.map(prepare, [module for module in self.modules.values() if isinstance(module, Weighted)])

    def advance(self) -> None:
        """Count a step as done and make the operands of the next."""
        self.moment = replace(self.moment, step=self.moment.step + 1)
        self.prepare()

    def forward(self, images: Array, how: Pass | None = None) -> Array:
        """Logits (batch, classes), storage values, of images (batch, *input_shape), rounded to storage first."""
        tensors = {INPUT: self.backend.store(images)}
        with np.errstate(all="ignore"):
            for name, module in self.modules.items():
                tensors[name] = module.forward(*(tensors[read] for read in module.layer.inputs), how=how or Pass())
        return tensors[name]

    def backward(self, gradient: Array, how: Pass | None = None) -> None:
        """Leave every parameter's gradient from that of the logits, storage values.

        Where several layers read one tensor its gradients are added as they come, last reader first, each sum rounded
        once to storage.
        """
        gradients = {self.network.layers[-1].name: gradient}
        covered: dict[str, Mask] = {}  # where slices alone have left something so far
        with np.errstate(all="ignore"):
            for name, module in reversed(self.modules.items()):
                if name in self._learned and name in gradients:
                    parts = module.backward(gradients.pop(name), how or Pass())
                    if isinstance(module, Slice):
                        self._place(gradients, covered, module, parts[0])
                        continue
                    self._collect(gradients, module.layer.inputs, parts)
                    for source in module.layer.inputs:
                        covered.pop(source, None)

    def set_backend(self, backend: Backend) -> None:
        """Go on with another arithmetic: weights stay, operands are made anew."""
        self.backend = backend
        for module in self.modules.values():
            module.backend = backend
        self.prepare()

    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Learned tensors as ``<layer>.<parameter>``, in order."""
        for name, module in self.modules.items():
            for kind, parameter in module.parameters.items():
                yield f"{name}.{kind}", parameter

    def state(self) -> dict[str, Array]:
        """Masters and statistics, all that a trained model consists of."""
        return {f"{name}.{kind}": array for name, module in self.modules.items() for kind, array in module.state.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take what `state` gave; `KeyError` or `ValueError` where it is another network's."""
        for name, module in self.modules.items():
            for kind, parameter in module.parameters.items():
                parameter.value = _like(parameter.value, state[f"{name}.{kind}"])
            for kind, array in module.statistics.items():
                module.statistics[kind] = _like(array, state[f"{name}.{kind}"])

    def generators(self) -> dict[str, np.random.Generator]:
        """Everything that is drawn from during training, by name."""
        drawn = {f"module {name}": module.rng for name, module in self.modules.items() if module.rng is not None}
        return drawn | {f"site {name}": site.rng for name, site in self.sites.items()}

    def _sites(self, shapes: dict[str, Shape], rng: np.random.Generator) -> dict[str, Site]:
        """What the method knows of each weighted layer; those of one ratio are told to it together."""
        ratios: dict[str, Ratio] = {}
        for ratio in dict.fromkeys(ratio for ratio in self.ratios.values() if not ratio.is_dense):
            ratios |= self.method.ratios({name: shapes[name] for name, its in self.ratios.items() if its == ratio}, ratio)
        generators = rng.spawn(len(shapes))
        return {
            layer.name: Site(ratios.get(layer.name, DENSE), generator, getattr(layer, "groups", 1))
            for layer, generator in zip(self.network.weighted(), generators, strict=True)
        }

    def _collect(self, gradients: dict[str, Array], names: tuple[str, ...], parts: tuple[Array, ...]) -> None:
        """Add the gradients of a layer's inputs to those that other readers left; the ones without are not needed."""
        for name, part in zip(names, parts, strict=False):
            if name in gradients:
                part = self.backend.store(gradients[name].astype(self.backend.wide, copy=False) + part)
            gradients[name] = part

    def _place(self, gradients: dict[str, Array], covered: dict[str, Mask], module: Slice, part: Array) -> None:
        """Put the gradient of a slice where it belongs: as it is where no other reader has left anything, else added."""
        name, where = module.layer.inputs[0], module.part
        if name in gradients:
            summed = self.backend.store(gradients[name][where].astype(self.backend.wide, copy=False) + part[where])
            seen = covered[name][where] if name in covered else np.True_
            part, gradients[name] = part[where], gradients[name].copy()
            gradients[name][where] = np.where(seen, summed, part)
        else:
            gradients[name], covered[name] = part, np.zeros(part.shape, np.bool_)
        if name in covered:
            covered[name][where] = True

    def _learned_tensors(self) -> frozenset[str]:
        """Tensors that depend on a parameter; the first layers' inputs do not and need no gradient."""
        learned: set[str] = set()
        for name, module in self.modules.items():
            below = learned.intersection(module.layer.inputs)
            if isinstance(module, Weighted):
                module.needs_input_gradient = bool(below)
            if below or module.parameters:
                learned.add(name)
        return frozenset(learned)


def _like(present: Array, array: Array) -> Array:
    if array.shape != present.shape or array.dtype != present.dtype:
        raise ValueError(f"{array.dtype} {array.shape} is not {present.dtype} {present.shape}")
    return array
