"""Where the tensors of a training step stand, and by which names operations see them."""

from collections.abc import Iterator
from dataclasses import replace

from dataflow import operations as op
from dataflow.machine.batch_norm import BatchNormPasses
from dataflow.machine.layouts import Layouts
from dataflow.machine.memory import Memory
from dataflow.machine.passes import Chain, index_of, output_of, scaled_of, sums_of, totals_of
from dataflow.machine.row_norms import LayerNormPasses, SoftmaxPasses
from dataflow.machine.updates import ONES
from dataflow.network import INPUT, BatchNorm, Network
from dataflow.program import Program, Region, Stage, Update, Vector
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

    def place(self) -> None:
        """A place for every tensor: what products read and write in memory, and what is beside them."""
        add = self.memory.add
        gradients = {
            product.output.region
            for product in self.program.products
            if product.stage is Stage.WEIGHT_GRADIENT and not isinstance(self.layers[product.layer], MatMul)
        }
        made, regions = self.made, self.program.regions
        updated = [command.layer for command in self.program.commands if isinstance(command, Update)]
        weighted = [name for name in updated if f"{name}.weight_gradient" in regions]
        for name in weighted:
            for kind in ("weight", "weight_forward", "weight_backward"):
                if region := regions.get(f"{name}.{kind}"):
                    add(region.name, region.kind, region.shape, getattr(self.layers[name], "groups", 1))
            shape = regions[f"{name}.weight_gradient"].shape
            self.memory.train(f"{name}.master", shape)
            if self.has_bias(name):
                self.memory.train(f"{name}.bias", shape[-1:])
        self.memory.double(exchanged=self.exchanged)
        if self.moments:
            add(ONES, "binary32", (self.config.vpu_lanes,))
        for command in self.program.commands:
            if isinstance(command, Vector):
                self._join(command)
        for name, like in self._around_gaps():
            add(name, "storage", self._shape(like))
        for name, region in self.program.regions.items():
            if region.kind != "binary32" or name in gradients:
                maker = made.get(self.memory.place(name))
                if maker:
                    add(self.memory.place(name), region.kind, self._shape(maker))
                add(name, region.kind, region.shape, getattr(self.layers[region.layer], "groups", 1))
                if maker:
                    self._see(name, maker, self._seen_as(region))
        for command in self.program.commands:
            if isinstance(command, Vector):
                chain, target = Chain.of(command), command.target
                if chain.parts or not (chain.sums or chain.batch_sums):
                    maker = made[self.memory.place(target.tensor)]
                    add(target.tensor, "storage", self._shape(maker))
                    own = self.memory.place(target.tensor) == target.tensor
                    self._see(target.tensor, maker, maker if own else target.layer)
                if chain.pooled and chain.pool:
                    shape = self._shape(chain.pooled.layer)
                    add(chain.pooled.tensor, "storage", shape)
                    add(totals_of(chain.pooled.tensor), "binary32", shape)
                    if chain.pool.kind == "max":
                        add(index_of(chain.pool.layer), "storage", shape)
                for part in chain.parts:
                    if isinstance(part.alone, op.PoolMax):
                        add(index_of(part.alone.layer), "storage", self._shape(target.layer))
                    if isinstance(part.alone, op.PoolMax | op.PoolMean | op.PoolMaxGradient | op.PoolMeanGradient):
                        add(totals_of(target.tensor), "binary32", self._shape(target.layer))
                    if isinstance(part.alone, op.PoolMeanGradient):
                        add(scaled_of(target.tensor), "binary32", self._shape(part.alone.layer))
                self._place_kept(chain)
                for layer in chain.kept:
                    add(output_of(layer), "storage", self._shape(layer))
                if any(len(part.residuals) > 1 for part in chain.parts):
                    add(sums_of(target.tensor), "storage", self._shape(target.layer))
        for command in self.program.commands:
            if isinstance(command, Vector):
                self._place_statistics(Chain.of(self.viewed(command)), command.target.tensor)
        for name in updated:
            if isinstance(self.layers[name], Embed):
                shape = self.network.shapes[name]
                self.memory.train(f"{name}.position", shape)
                self.memory.train(f"{name}.token", shape[1:])
                add(f"{name}.position_gradient", "binary32", shape)
        for name in filter(self.has_bias, weighted):
            add(f"{name}.bias_gradient", "binary32", self.memory[f"{name}.bias"].shape)

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
