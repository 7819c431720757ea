"""Training steps of random networks, with random ratios, dataflows, buffers and memories: what fuzzing the accelerator runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.axes import Axis, AxisPool
from dataflow.ir.program import Dataflow, Product
from dataflow.ir.stages import Stage
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Layer, Linear, MaxPool, Network, Relu, Shape
from dataflow.rearrange import Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import InputError
from hw.isa.functions import ACTIVATIONS
from hw.ratio import Ratio
from sim.steps.assembled import Dataflows, assemble_step
from sim.steps.whole_step import StepOnRtl, step_on_rtl
from training import methods
from training.adamw import AdamW
from training.backend import ExactBackend
from training.model import Model
from training.numbers import Array, to_storage
from training.optimiser import Optimiser, Sgd

CONFIGS = (
    PRESETS["tiny"],
    replace(
        PRESETS["tiny"],
        name="narrow",
        wuve_lanes=2,
        sore_lanes=2,
        w2e_buffer_bytes=2048,
        n2s_buffer_bytes=2048,
        output_buffer_bytes=1024,
        axi_data_bits=512,
        adamw=True,
    ),
)
"""Where steps are drawn for."""

MORE_CONFIGS = (
    replace(PRESETS["tiny"], name="brief", storage="bfloat16", dram_channels=2),
    replace(PRESETS["tiny"], name="byte", storage="float8_e5m2", axi_data_bits=128, adamw=True),
)
"""Of other formats and ports."""

RATIOS = tuple(Ratio(n, m) for n, m in ((1, 4), (2, 4), (1, 8), (2, 8), (4, 8), (1, 16), (2, 16), (4, 16)))


def random_network(random: Random, ratio: Ratio) -> Network:
    """Convolutions and pools of any shape, tokens with attention, or linear layers; a linear layer ``out`` last.

    Between them are batch and layer norms, ReLUs and other activations, and sums.

    Groups of channels that are no whole groups of `ratio` stay dense.
    """
    kind = random.random()
    if kind < 0.25:
        drawn = _Drawn(random, (random.randint(2, 5), random.randint(2, 5), random.choice([1, 3, 4])), ratio)
        drawn.transformer()
    elif kind < 0.75:
        drawn = _Drawn(random, (random.randint(3, 6), random.randint(3, 6), random.choice([1, 2, 3, 4, 5, 16])), ratio)
        for _ in range(random.randint(1, 3)):
            drawn.branch(drawn.convolution)
            if random.random() < 0.4:
                drawn.pool()
        drawn.add(GlobalPool, kind=random.choice(["mean", "max"]))
    else:
        drawn = _Drawn(random, (random.randint(1, 40),), ratio)
        for _ in range(random.randint(0, 2)):
            drawn.branch(drawn.linear)
    drawn.add(Linear, name="out", out_features=random.randint(2, 12))
    return drawn.network


class _Drawn:
    """A network that grows at random."""

    def __init__(self, random: Random, shape: Shape, ratio: Ratio) -> None:
        self.random, self.input_shape, self.ratio = random, shape, ratio
        self.layers: list[Layer] = []
        self.last = INPUT

    @property
    def network(self) -> Network:
        """All layers so far."""
        return Network(name="random", input_shape=self.input_shape, layers=tuple(self.layers))

    @property
    def shape(self) -> Shape:
        """Of the last layer."""
        return self.network.shapes[self.last] if self.layers else self.input_shape

    def add(self, kind: type[Layer], /, *others: str, name: str = "", **fields: Any) -> None:  # noqa: ANN401
        """A layer behind the last one."""
        self.layers.append(kind(name=name or f"layer{len(self.layers)}", inputs=(self.last, *others), **fields))
        self.last = self.layers[-1].name

    def branch(self, weighted: Callable[[Shape | None], None]) -> None:
        """A weighted layer, perhaps a batch norm, a ReLU; or two, or three, and their end is added to what they began with."""
        before, shape = self.last, self.shape
        depth = self.random.choice([0, 0, 1, 2])
        for number in range(max(depth, 1)):
            weighted(shape if number == depth - 1 else None)
            if self.random.random() < 0.4:
                self.add(BatchNorm)
            if number < depth - 1 or self.random.random() < 0.5:
                self.activation()
        if depth and self.shape == shape:
            self.add(Add, before)
        if self.random.random() < 0.7:
            self.activation()

    def activation(self) -> None:
        """A ReLU, mostly."""
        if self.random.random() < 0.8:
            self.add(Relu)
        else:
            self.add(Activation, kind=self.random.choice(list(ACTIVATIONS)))

    def transformer(self) -> None:
        """Patches as tokens, blocks of attention and linear layers, and one token, or all of them."""
        random, (height, width, _) = self.random, self.shape
        size, heads, features = random.randint(1, min(2, height, width)), random.randint(1, 3), random.choice([2, 3, 4, 8])
        self.add(Conv, out_channels=heads * features, kernel=size, stride=size, bias=random.random() < 0.5)
        self.add(Embed)
        for _ in range(random.randint(1, 2)):
            before, shape = self.last, self.shape
            if random.random() < 0.6:
                self.add(LayerNorm)
            self.attention(heads, features)
            self.add(Linear, out_features=shape[-1])
            self.add(Add, before)
            self.branch(self.linear)
            if self.shape != shape:
                self.add(Linear, out_features=shape[-1])
        if random.random() < 0.6:
            self.add(Select, index=random.randrange(self.shape[0]))
        else:
            self.add(Flatten)

    def attention(self, heads: int, features: int) -> None:
        """Queries, keys and values of one layer; their products, perhaps with a softmax between."""
        tokens = self.shape[0]
        self.add(Linear, out_features=3 * heads * features)
        whole, parts = self.last, []
        for place in range(3):
            self.last = whole
            self.add(Slice, axis=1, start=place * heads * features, size=heads * features)
            self.add(Reshape, shape=(tokens, heads, features))
            self.add(Transpose, axes=(1, 0, 2))
            parts.append(self.last)
        self.last = parts[0]
        self.add(MatMul, parts[1], transposed=True)
        if self.random.random() < 0.8:
            self.add(Softmax)
        self.add(MatMul, parts[2])
        self.add(Transpose, axes=(1, 0, 2))
        self.add(Reshape, shape=(tokens, heads * features))

    def convolution(self, due: Shape | None) -> None:
        """A convolution of any shape, or of one whose output has the shape `due`, if there is."""
        random, (height, width, channels) = self.random, self.shape
        kernel = random.randint(1, min(3, height, width))
        window: dict[str, Any] = {"kernel": kernel, "stride": random.randint(1, 2), "padding": random.randint(0, kernel - 1)}
        outputs = random.choice([random.randint(1, 20), 8, 16, 32])
        if due:
            window, outputs = {"kernel": 3, "padding": 1}, due[-1]
        groups = random.choice([each for each in (1, 1, 2, 4) if channels % each == outputs % each == 0])
        whole = not any(each // groups % self.ratio.m for each in (channels, outputs))
        self.add(Conv, out_channels=outputs, bias=random.random() < 0.5, groups=groups, prune=groups == 1 or whole, **window)

    def pool(self) -> None:
        """The largest, or the mean, of windows of any shape."""
        random, (height, width, _) = self.random, self.shape
        kernel = random.randint(1, min(3, height, width))
        if random.random() < 0.5:
            self.add(MaxPool, kernel=kernel, stride=random.randint(1, 3), padding=random.randint(0, kernel // 2))
            return
        axes = [
            Axis(kernel, random.randint(1, 2), random.randint(0, kernel // 2), dilation=random.randint(1, 1 + (kernel == 1)))
            for _ in range(2)
        ]
        self.add(AxisPool, axes=tuple(axes), kind=random.choice(["mean", "max"]))

    def linear(self, due: Shape | None) -> None:
        """A linear layer."""
        self.add(Linear, out_features=due[-1] if due else self.random.randint(1, 40))


@dataclass(frozen=True)
class Drawn:
    """A step that was drawn: where it runs, what is trained, and on what."""

    config: AcceleratorConfig
    model: Model
    images: Array
    labels: NDArray[np.integer]
    timing: Memory
    dataflows: Dataflows
    optimiser: Optimiser


def draw(seed: int, config: AcceleratorConfig | None = None) -> Drawn:
    """A step from `seed`; on any accelerator, or on `config`."""
    random, rng = Random(seed), np.random.default_rng(seed)
    ratio = random.choice(RATIOS)
    network, batch = random_network(random, ratio), random.randint(1, 5)
    config = config or random.choice(CONFIGS)
    options = {"prune_first": random.random() < 0.5, "prune_last": random.random() < 0.5}
    method = methods.load(random.choice(["bdwp", "bdwp", "dense"]))
    model = Model(network, ExactBackend(), np.random.default_rng(seed), method=method, ratio=ratio, **options)
    images = to_storage(rng.standard_normal((batch, *network.input_shape)).astype(np.float32), config.storage_format)
    labels = rng.integers(0, network.shapes["out"][-1], batch)
    timing = Memory(latency_cycles=random.randint(1, 60), interval_cycles=random.randint(1, 3))
    stays: list[Dataflow | None] = random.choice([[None], [Dataflow.WEIGHT_STATIONARY], [*Dataflow]])
    drawn: dict[tuple[str, Stage], Dataflow | None] = {}

    def dataflows(product: Product) -> Dataflow | None:
        return drawn.setdefault((product.layer, product.stage), random.choice(stays))

    optimiser = AdamW() if config.adamw and random.random() < 0.5 else Sgd()
    try:
        assemble_step(config, model, optimiser, 0.05, batch, dataflows)
    except InputError:  # the buffers have no room for what was drawn
        drawn.update(dict.fromkeys(drawn))
    return Drawn(config, model, images, labels, timing, dataflows, optimiser)


def random_step(seed: int, config: AcceleratorConfig | None = None) -> StepOnRtl:
    """A step drawn from `seed`, on the RTL and compared, see `sim.steps.whole_step.step_on_rtl`; on any, or on `config`."""
    one = draw(seed, config)
    return step_on_rtl(one.config, one.model, one.optimiser, one.images, one.labels, 0.05, one.timing, one.dataflows)
