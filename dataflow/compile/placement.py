"""Where the tensors of a training step stand, and by which names operations see them."""

from collections.abc import Iterator
from dataclasses import replace

from dataflow.compile.batch_norm import BatchNormPasses
from dataflow.compile.layouts import Layouts
from dataflow.compile.memory import Memory
from dataflow.compile.passes import Chain, index_of, output_of, scaled_of, sums_of, totals_of
from dataflow.compile.row_norms import LayerNormPasses, SoftmaxPasses
from dataflow.compile.updates import ONES
from dataflow.ir import operations as op
from dataflow.ir.program import Program, Region, Stage, Update, Vector
from dataflow.network import INPUT, BatchNorm, Layer, Network
from dataflow.rearrange import Gap
from dataflow.tokens import Embed, LayerNorm, MatMul, Softmax
from hw.config import AcceleratorConfig

Normalisation = BatchNormPasses | LayerNormPasses | SoftmaxPasses
"""The passes of a layer that needs sums first."""


class Placement:
    """The memory of a step.

    Parameters
    ----------
    network, program, config : Network, Program, AcceleratorConfig
        The step, and what it is for.
    exchanged : bool
        Which of both places of masters and copies is read, see `Memory.double`.
    moments : bool
        Whether AdamW updates.

    Attributes
    ----------
    memory : Memory
        Filled by `place`.
    layouts : Layouts
        How one layer's output is seen in another's.
    layers : dict of str to Layer
        By name.
    made : dict of str to str
        For each tensor between layers, the layer whose output, or whose output's gradient, it is.
    seen : dict of str to str
        For each name of `operand`'s, the tensor's own.
    normalised : dict of str to Normalisation
        By layer.
    """

    def __init__(
        self, network: Network, program: Program, config: AcceleratorConfig, *, exchanged: bool, moments: bool
    ) -> None:
        self.network, self.program, self.config, self.exchanged = network, program, config, exchanged
        self.memory, self.moments = Memory(config, program.aliases, moments=moments), moments
        self.layers = {layer.name: layer for layer in network.layers}
        self.layouts = Layouts(network)
        self.made = self._makers()
        self.seen: dict[str, str] = {}
        self.normalised: dict[str, Normalisation] = {}
        self.apart = set(self._rows_apart())

    def _rows_apart(self) -> Iterator[str]:
        """Softmaxes, and what they read, where only products look at them beside: their rows are summed up one by one."""
        readers: dict[str, list[Layer]] = {layer.name: [] for layer in self.network.layers}
        for layer in self.network.layers:
            for name in layer.inputs:
                readers.setdefault(name, []).append(layer)
        for softmax in (layer for layer in self.network.layers if isinstance(layer, Softmax)):
            (source,) = softmax.inputs
            around = [self.layers.get(source), *readers[softmax.name]]
            if readers[source] == [softmax] and readers[softmax.name] and all(isinstance(one, MatMul) for one in around):
                yield from (source, softmax.name)

    def place(self) -> None:
        """A place for every tensor: what products read and write in memory, and what is beside them."""
        updated = [command.layer for command in self.program.commands if isinstance(command, Update)]
        weighted = [name for name in updated if f"{name}.weight_gradient" in self.program.regions]
        vectors = [command for command in self.program.commands if isinstance(command, Vector)]
        for name in weighted:
            self._place_weights(name)
        self.memory.double(exchanged=self.exchanged)
        if self.moments:
            self.memory.add(ONES, "binary32", (self.config.vpu_lanes,))
        for vector in vectors:
            self._join(vector)
        for name, like in self._around_gaps():
            self._add(name, like)
        self._place_regions()
        for vector in vectors:
            self._place_vector(vector)
        for vector in vectors:
            self._place_statistics(Chain.of(self.viewed(vector)), vector.target.tensor)
        for name in updated:
            if isinstance(self.layers[name], Embed):
                shape = self.network.shapes[name]
                self.memory.train(f"{name}.position", shape)
                self.memory.train(f"{name}.token", shape[1:])
                self.memory.add(f"{name}.position_gradient", "binary32", shape)
        for name in filter(self.has_bias, weighted):
            self.memory.add(f"{name}.bias_gradient", "binary32", self.memory[f"{name}.bias"].shape)

    def _add(self, name: str, like: str, kind: str = "storage") -> None:
        """A place for the output of a layer, or for what has its shape."""
        self.memory.add(name, kind, self._shape(like), apart=like in self.apart)

    def _place_weights(self, name: str) -> None:
        """Copies for the products of a layer, and masters."""
        regions = self.program.regions
        for kind in ("weight", "weight_forward", "weight_backward"):
            if region := regions.get(f"{name}.{kind}"):
                self.memory.add(region.name, region.kind, region.shape, getattr(self.layers[name], "groups", 1))
        shape = regions[f"{name}.weight_gradient"].shape
        self.memory.train(f"{name}.master", shape)
        if self.has_bias(name):
            self.memory.train(f"{name}.bias", shape[-1:])

    def _place_regions(self) -> None:
        """What products read, and the gradients of weights that they write."""
        gradients = {
            product.output.region
            for product in self.program.products
            if product.stage is Stage.WEIGHT_GRADIENT and not isinstance(self.layers[product.layer], MatMul)
        }
        for name, region in self.program.regions.items():
            if region.kind != "binary32" or name in gradients:
                maker = self.made.get(self.memory.place(name))
                if maker:
                    self._add(self.memory.place(name), maker, region.kind)
                self.memory.add(name, region.kind, region.shape, getattr(self.layers[region.layer], "groups", 1))
                if maker:
                    self._see(name, maker, self._seen_as(region))

    def _place_vector(self, vector: Vector) -> None:
        """What a vector operation writes, and what its passes leave for others."""
        chain, target = Chain.of(vector), vector.target
        if chain.parts or not (chain.sums or chain.batch_sums):
            maker = self.made[self.memory.place(target.tensor)]
            self._add(target.tensor, maker)
            own = self.memory.place(target.tensor) == target.tensor
            self._see(target.tensor, maker, maker if own else target.layer)
        if chain.pooled and chain.pool:
            self._add(chain.pooled.tensor, chain.pooled.layer)
            self._add(totals_of(chain.pooled.tensor), chain.pooled.layer, "binary32")
            if chain.pool.kind == "max":
                self._add(index_of(chain.pool.layer), chain.pooled.layer)
        for part in chain.parts:
            if isinstance(part.alone, op.PoolMax):
                self._add(index_of(part.alone.layer), target.layer)
            if isinstance(part.alone, op.PoolMax | op.PoolMean | op.PoolMaxGradient | op.PoolMeanGradient):
                self._add(totals_of(target.tensor), target.layer, "binary32")
            if isinstance(part.alone, op.PoolMeanGradient):
                self._add(scaled_of(target.tensor), part.alone.layer, "binary32")
        self._place_kept(chain)
        for layer in chain.kept:
            self._add(output_of(layer), layer)
        if any(len(part.residuals) > 1 for part in chain.parts):
            self._add(sums_of(target.tensor), target.layer)

    def _place_kept(self, chain: Chain) -> None:
        """What activations need again: what the pass before writes, or what is there as it is."""
        for number, part in enumerate(chain.parts):
            if isinstance(part.alone, op.Activate):
                kept = part.alone.kept
                if number == 0 and chain.source:
                    self.memory.alias(kept.tensor, chain.source)
                else:
                    self.memory.add(kept.tensor, "storage", self._shape(kept.layer))
                    self._see(kept.tensor, kept.layer, kept.layer)
                before = chain.parts[number - 1] if number else None
                if before and before.kept:
                    self.memory.alias(output_of(before.kept), kept.tensor)

    def _makers(self) -> dict[str, str]:
        """For each tensor between layers, the layer whose output, or whose output's gradient, it is."""
        made = {INPUT: INPUT, **dict(self._around_gaps())}
        for command in self.program.commands:
            if isinstance(command, Vector):
                embeds = [one.layer for one in command.operations if isinstance(one, op.Embed)]
                made.setdefault(command.target.tensor, embeds[0] if embeds else command.target.layer)
                made |= {one.kept.tensor: one.layer for one in command.operations if isinstance(one, op.Activate)}
        return made

    def _around_gaps(self) -> Iterator[tuple[str, str]]:
        """What is there though no command writes it, with its maker: what gaps make, and the gradients of what they read."""
        for layer in self.network.layers:
            if isinstance(layer, Gap):
                yield f"{layer.name}.output", layer.name
                yield f"{layer.name}.input_gradient", layer.inputs[0]

    def _join(self, vector: Vector) -> None:
        """Parts that are written where they belong in the whole."""
        for operation in vector.operations if vector.elements == 0 else ():
            if isinstance(operation, op.Gather):
                self.memory.add(vector.target.tensor, "storage", self._shape(vector.target.layer))
                for part in operation.parts:
                    self.memory.alias(part.tensor, vector.target.tensor)

    def _seen_as(self, region: Region) -> str:
        """The layer whose output, or whose output's gradient, a product reads as `region`."""
        layer, kind = self.layers[region.layer], region.name.rpartition(".")[2]
        sides = {"input": 0, "left": 0, "right": 1}
        return layer.inputs[sides[kind]] if kind in sides else layer.name

    def _see(self, name: str, maker: str, layer: str) -> None:
        layout = self.layouts.view(maker, layer)
        if not layout.is_plain:
            self.memory.see(name, layout)

    def _place_statistics(self, chain: Chain, target: str) -> None:
        """What a normalisation has beside its input and its output."""
        for operation in chain.sums:
            if isinstance(operation, op.Statistics):
                self._normalise_by(operation.layer, chain.result(target))
        for number, part in enumerate(chain.parts):
            if isinstance(part.alone, op.Softmax):
                before = chain.written(number - 1, target) if number else chain.source
                assert before is not None  # softmax comes behind the conversion of a product
                self._normalise_by(part.alone.layer, before)
            made = part.alone.layer if isinstance(part.alone, op.Softmax) else None if part.value else part.normal
            normalised = self.normalised.get(made or "")
            if isinstance(normalised, SoftmaxPasses):
                normalised.made = chain.written(number, target)

    def _normalise_by(self, name: str, value: str) -> None:
        layer, lanes = self.layers[name], self.config.vpu_lanes
        made: Normalisation
        if isinstance(layer, BatchNorm):
            made = BatchNormPasses(layer, self.memory, value)
        elif isinstance(layer, LayerNorm):
            made = LayerNormPasses(layer, self.memory, value, lanes)
        else:
            assert isinstance(layer, Softmax)
            made = SoftmaxPasses(layer, self.memory, value, lanes)
        made.place()
        self.normalised[name] = made

    def _shape(self, layer: str) -> tuple[int, ...]:
        """Of a layer's output for the whole batch."""
        return (self.program.batch, *self.layouts.shapes[layer])

    def has_bias(self, layer: str) -> bool:
        """Whether a layer adds a bias."""
        return bool(getattr(self.layers[layer], "bias", False))

    def viewed(self, vector: Vector) -> Vector:
        """A vector operation whose operands are those of `operand`."""
        operations = tuple(
            replace(one, others=tuple(map(self.operand, one.others))) if isinstance(one, op.Sum) else one
            for one in vector.operations
        )
        return replace(vector, source=vector.source and self.operand(vector.source), operations=operations)

    def own(self, name: str) -> str:
        """The name that a tensor has where it is not seen otherwise."""
        return self.seen.get(name, name)

    def operand(self, operand: op.Operand) -> op.Operand:
        """With a name of its own for a tensor of which it is a part, or in another order."""
        maker = self.made.get(self.memory.place(operand.tensor))
        layout = self.layouts.view(maker, operand.layer) if maker else None
        if layout is None or maker is None or (layout.is_plain and layout.shape == self.layouts.shapes[maker]):
            return operand
        name = f"{operand.tensor} as {operand.layer}"
        self.seen[name] = operand.tensor
        self.memory.alias(name, operand.tensor)
        self.memory.see(name, layout)
        return replace(operand, tensor=name)
