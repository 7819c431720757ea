"""Training steps of random networks, with random ratios, dataflows, buffers and memories: what fuzzing the accelerator runs."""

from dataclasses import replace
from random import Random

import numpy as np

from dataflow.machine.units.port import Memory
from dataflow.network import INPUT, Conv, GlobalPool, Layer, Linear, Network, Relu
from dataflow.program import Dataflow
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.whole_step import StepOnRtl, step_on_rtl
from training import methods
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

CONFIGS = (
    PRESETS["tiny"],
    replace(PRESETS["tiny"], name="narrow", w2e_buffer_bytes=2048, n2s_buffer_bytes=2048, output_buffer_bytes=1024),
)
RATIOS = tuple(Ratio(n, m) for n, m in ((1, 4), (2, 4), (1, 8), (2, 8), (4, 8), (1, 16), (2, 16), (4, 16)))


def random_network(random: Random) -> Network:
    """Convolutions of any shape, or linear layers, with ReLUs between, and a linear layer ``out`` at the end."""
    shape: tuple[int, ...] = (random.randint(3, 6), random.randint(3, 6), random.randint(1, 5))
    layers, last = list[Layer](), INPUT
    if random.random() < 0.7:
        height, width = shape[:2]
        for number in range(random.randint(1, 3)):
            kernel = random.randint(1, min(3, height, width))
            window = {"kernel": kernel, "stride": random.randint(1, 2), "padding": random.randint(0, kernel - 1)}
            channels, bias = random.randint(1, 20), random.random() < 0.5
            layers.append(Conv(name=f"conv{number}", inputs=(last,), out_channels=channels, bias=bias, **window))  # type: ignore[arg-type]
            layers.append(Relu(name=f"relu{number}", inputs=(layers[-1].name,)))
            last = layers[-1].name
            height, width, _ = Network(name="random", input_shape=shape, layers=tuple(layers)).shapes[last]
        layers.append(GlobalPool(name="pool", inputs=(last,), kind="mean"))
        last = "pool"
    else:
        shape = (random.randint(1, 40),)
        for number in range(random.randint(0, 2)):
            layers.append(Linear(name=f"fc{number}", inputs=(last,), out_features=random.randint(1, 40)))
            layers.append(Relu(name=f"relu{number}", inputs=(f"fc{number}",)))
            last = layers[-1].name
    layers.append(Linear(name="out", inputs=(last,), out_features=random.randint(2, 12)))
    return Network(name="random", input_shape=shape, layers=tuple(layers))


def random_step(seed: int) -> StepOnRtl:
    """A step that is drawn from `seed`, on the RTL and compared, see `sim.whole_step.step_on_rtl`."""
    random, rng = Random(seed), np.random.default_rng(seed)
    network, ratio, batch = random_network(random), random.choice(RATIOS), random.randint(1, 5)
    config = random.choice(CONFIGS)
    options = {"prune_first": random.random() < 0.5, "prune_last": random.random() < 0.5}
    method = methods.load(random.choice(["bdwp", "bdwp", "dense"]))
    model = Model(network, ExactBackend(), np.random.default_rng(seed), method=method, ratio=ratio, **options)
    images = to_storage(rng.standard_normal((batch, *network.input_shape)).astype(np.float32), config.storage_format)
    labels = rng.integers(0, network.shapes["out"][-1], batch)
    timing = Memory(latency_cycles=random.randint(1, 60), interval_cycles=random.randint(1, 3))
    stays: list[Dataflow | None] = random.choice([[None], [Dataflow.WEIGHT_STATIONARY], [*Dataflow]])
    return step_on_rtl(config, model, Sgd(), images, labels, 0.05, timing, lambda product: random.choice(stays))
