"""From a network to a program: one training step as commands over described memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import prod

from dataflow.ir import products
from dataflow.ir.geometry import BatchMatMul, Geometry, measure, measure_matmul
from dataflow.ir.program import Product, Program, Region, Stage, Update
from dataflow.ir.sizes import Sizes
from dataflow.ir.techniques import ALL, Techniques
from dataflow.lowering.backward import Backward
from dataflow.lowering.forward import Forward, Step
from dataflow.lowering.passes import Pass
from dataflow.network import Layer, Network, Weighted
from dataflow.pruning import layer_ratios
from dataflow.scheduling.choices import choose
from dataflow.scheduling.pins import Choice, Pins, check
from dataflow.tokens import MatMul
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.ratio import DENSE, Ratio, Ratios


def lower(
    network: Network,
    config: AcceleratorConfig,
    *,
    batch: int,
    ratio: Ratios = DENSE,
    sparse_stages: frozenset[Stage] = frozenset(),
    prune_first: bool = False,
    prune_last: bool = False,
    techniques: Techniques = ALL,
    pins: Pins | None = None,
) -> Program:
    """One training step of `network` as a program.

    Parameters
    ----------
    network : Network
        What is trained.
    config : AcceleratorConfig
        What it runs on: decides the interleaving and the storage format.
    batch : int
        Samples, at least 1.
    ratio : Ratio or LayerRatios
        N:M of the pruned layers' sparse stages.
    sparse_stages : frozenset of Stage
        Of `FORWARD` and `INPUT_GRADIENT`: which products read packed weights.
    prune_first, prune_last : bool
        Whether the first and the last layer with weights are pruned, too.
    techniques : Techniques
        What the schedule makes use of.
    pins : mapping of (layer, stage) to Choice, optional
        Choices that are given, see `dataflow.scheduling.pins`.

    Raises
    ------
    InputError
        Where batch, ratio, stage or a layer cannot be scheduled.
    """
    if batch < 1:
        raise InputError(f"batch must be at least 1, not {batch}")
    config.check_ratio(ratio)
    if Stage.WEIGHT_GRADIENT in sparse_stages:
        raise InputError("the weight gradient cannot be sparse; allowed sparse stages: forward, input_gradient")
    if ratio.is_dense:
        ratio, sparse_stages = DENSE, frozenset()
    weighted = list(network.weighted())
    if not weighted:
        raise InputError(f"network {network.name!r} has no layer with weights")
    ratios = layer_ratios(network, ratio, prune_first=prune_first, prune_last=prune_last)
    sites = {layer.name: _site(network, layer, batch, ratios[layer.name], sparse_stages) for layer in weighted}
    return _Lowering(network, config, batch, ratio, sparse_stages, sites, techniques, pins or {}).program()


@dataclass(frozen=True)
class Site:
    """A weighted layer and what of it is sparse."""

    geometry: Geometry
    forward: Ratio
    backward: Ratio
    bias: bool

    def update(self) -> Update:
        """The weight update, with the packed copies that the sparse stages read."""
        layer = self.geometry
        copies = (
            (self.forward, layer.outputs, layer.group_inputs),
            (self.backward, layer.inputs, layer.group_outputs),
        )
        packed = tuple(
            prod(products.packed_shape(ratio, rows, layer.kernel_shape, channels))
            for ratio, rows, channels in copies
            if not ratio.is_dense
        )
        ratio = self.backward if self.forward.is_dense else self.forward
        elements = prod(layer.weight_shape) + (layer.outputs if self.bias else 0)
        return Update(layer=layer.name, elements=elements, packed=packed, ratio=ratio, dense_copy=len(packed) < 2)

    def regions(self) -> Iterator[Region]:
        """What the products read and write."""
        layer = self.geometry

        def region(name: str, shape: tuple[int, ...], kind: str) -> Region:
            return Region(f"{layer.name}.{name}", shape, kind, layer.name)

        yield region("input", layer.input_shape, "storage")
        yield region("output", layer.output_shape, "binary32")
        yield region("output_gradient", layer.output_shape, "storage")
        yield region("weight_gradient", layer.weight_shape, "binary32")
        if self.forward.is_dense or self.backward.is_dense:
            yield region("weight", layer.weight_shape, "storage")
        if not self.forward.is_dense:
            shape = products.packed_shape(self.forward, layer.outputs, layer.kernel_shape, layer.group_inputs)
            yield region("weight_forward", shape, "packed")
        yield region("input_gradient", layer.input_shape, "binary32")
        if not self.backward.is_dense:
            shape = products.packed_shape(self.backward, layer.inputs, layer.kernel_shape, layer.group_outputs)
            yield region("weight_backward", shape, "packed")


def _site(
    network: Network,
    layer: Weighted,
    batch: int,
    ratio: Ratio,
    sparse_stages: frozenset[Stage],
) -> Site:
    geometry = measure(network, layer, batch)
    grouped = geometry.groups > 1  # groups of channels that do not fill whole groups of M are not pruned
    fills = [not (grouped and channels % ratio.m) for channels in (geometry.group_inputs, geometry.group_outputs)]
    forward = ratio if Stage.FORWARD in sparse_stages and fills[0] else DENSE
    backward = ratio if Stage.INPUT_GRADIENT in sparse_stages and fills[1] else DENSE
    return Site(geometry, forward, backward, layer.bias)


@dataclass
class _Lowering:
    """Runs the two halves and gathers what they made."""

    network: Network
    config: AcceleratorConfig
    batch: int
    ratio: Ratios
    sparse_stages: frozenset[Stage]
    sites: dict[str, Site]
    techniques: Techniques
    pins: Pins

    @cached_property
    def matmuls(self) -> dict[str, BatchMatMul]:
        """Products of two activations, by layer."""
        layers = (layer for layer in self.network.layers if isinstance(layer, MatMul))
        return {layer.name: measure_matmul(self.network, layer, self.batch) for layer in layers}

    @cached_property
    def regions(self) -> dict[str, Region]:
        """All that products may read and write, by name."""
        regions = (region for site in self.sites.values() for region in site.regions())
        matmuls = (region for matmul in self.matmuls.values() for region in _matmul_regions(matmul))
        return {region.name: region for region in chain(regions, matmuls)}

    def _forward(self, layer: Layer) -> Product:
        if layer.name in self.matmuls:
            return self._attention(layer)[0]
        site = self.sites[layer.name]
        return self._choose(products.forward(site.geometry, site.forward))

    def _input_gradients(self, layer: Layer) -> tuple[Product, ...]:
        """One a phase; what is best for the largest of them is chosen for all."""
        site = self.sites[layer.name]
        phases = tuple(products.input_gradients(site.geometry, site.backward))
        if not phases:
            return ()
        lead = self._choose(max(phases, key=lambda phase: phase.macs))
        made = {field: getattr(lead, field) for field in ("dataflow", "interleave")}
        return tuple(replace(phase, **made) for phase in phases)

    def _weight_gradient(self, layer: Layer) -> tuple[Product, Update]:
        site = self.sites[layer.name]
        return self._choose(products.weight_gradient(site.geometry)), site.update()

    def _attention(self, layer: Layer) -> tuple[Product, ...]:
        return tuple(map(self._choose, products.attention(self.matmuls[layer.name])))

    def _choose(self, product: Product) -> Product:
        """`product` with its choices made."""
        pin = self.pins.get((product.layer, product.stage), Choice())
        return choose(self.config, product, self.regions, pin, self.techniques)

    def program(self) -> Program:
        steps: list[Step] = []
        forward = Forward(Sizes(self.network, self.batch, self.config), steps, self._forward)
        forward.run()
        backward = Backward(forward, self._input_gradients, self._weight_gradient, self._attention)
        backward.run()
        check(self.pins, ((step.layer, step.stage) for step in steps if isinstance(step, Product)))
        commands = tuple(step.freeze() if isinstance(step, Pass) else step for step in steps)
        used = {name for step in steps if isinstance(step, Product) for name in step.regions}
        used |= {name for name, region in self.regions.items() if region.layer in backward.propagated}
        regions = {name: region for name, region in self.regions.items() if name in used}
        return Program(
            network=self.network.name,
            batch=self.batch,
            ratio=self.ratio,
            sparse_stages=self.sparse_stages,
            regions=regions,
            commands=commands,
            cleared=frozenset(_partial(commands, regions)),
            aliases=self._aliases(forward, backward),
            techniques=self.techniques,
        )

    def _aliases(self, forward: Forward, backward: Backward) -> dict[str, str]:
        aliases = {f"{layer.name}.input": forward.tensors[layer.inputs[0]] for layer in self.network.weighted()}
        matmuls = (layer for layer in self.network.layers if layer.name in self.matmuls)
        for layer in matmuls:
            for side, source in zip(("left", "right"), layer.inputs, strict=True):
                aliases[f"{layer.name}.{side}"] = forward.tensors[source]
        return aliases | {f"{name}.output_gradient": tensor for name, tensor in backward.output_gradients.items()}


def _matmul_regions(layer: BatchMatMul) -> Iterator[Region]:
    """What the products of two activations read and write."""
    for name, shape in layer.shapes.items():
        yield Region(f"{layer.name}.{name}", shape, "binary32" if name == "output" else "storage", layer.name)
        yield Region(f"{layer.name}.{name}_gradient", shape, "storage" if name == "output" else "binary32", layer.name)


def _partial(commands: tuple[object, ...], regions: dict[str, Region]) -> Iterator[str]:
    """Input gradients that the phases' products do not cover."""
    written = {name: 0 for name in regions if name.endswith(".input_gradient")}
    for command in commands:
        if isinstance(command, Product) and command.output.region in written:
            written[command.output.region] += command.count * command.m * command.n
    return (name for name, count in written.items() if count < regions[name].size)
