"""Fast-forward skips repetition exactly: cycles, causes, busy cycles and bytes are those of every event simulated."""

from random import Random

import pytest

from dataflow import zoo
from dataflow.choices import SPLITS
from dataflow.lower import lower
from dataflow.model import run
from dataflow.network import INPUT, Add, BatchNorm, Conv, Linear, MaxPool, Network, Relu
from dataflow.pins import ORDERS, Choice
from dataflow.program import Dataflow, Stage
from dataflow.techniques import Techniques
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import InputError
from hw.ratio import DENSE, Ratio

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
RATIOS = (DENSE, Ratio(1, 4), Ratio(2, 8), Ratio(2, 16))


def compare(program, config):
    """Run both ways; return the share of cycles that was skipped."""
    fast, whole = run(program, config), run(program, config, fast_forward=False)
    assert fast.cycles == whole.cycles
    assert fast.busy == whole.busy
    assert fast.memory_bytes == whole.memory_bytes
    assert fast.timeline.by_product() == whole.timeline.by_product()
    assert whole.skipped_cycles == 0
    for unit in ("memory", "vector", "update"):
        done, known = ([part for part in result.slices if part.unit == unit] for result in (fast, whole))
        assert sum(part.end - part.start for part in done) == sum(part.end - part.start for part in known) == fast.busy[unit]
    return fast.skipped_cycles / fast.cycles


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("ratio", [DENSE, Ratio(2, 8)])
@pytest.mark.parametrize("config", PRESETS)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_small_workloads_take_the_same_cycles(name, config, ratio, batch):
    compare(lower(zoo.load(name), PRESETS[config], batch=batch, ratio=ratio, sparse_stages=BOTH), PRESETS[config])


@pytest.mark.parametrize("name", ["resnet9", "vit", "resnet18"])
def test_networks_take_the_same_cycles(name):
    """At a batch small enough to simulate every event; most of it is repetition."""
    program = lower(zoo.load(name), PRESETS["vcu1525"], batch=8, ratio=Ratio(2, 8), sparse_stages=BOTH)
    assert compare(program, PRESETS["vcu1525"]) > 0.3


def random_network(random):
    if random.random() < 0.5:
        sizes = [random.randint(1, 90) for _ in range(random.randint(1, 3))]
        names = [INPUT, *(f"l{place}" for place in range(len(sizes)))]
        layers = [Linear(name=names[place + 1], inputs=(names[place],), out_features=size) for place, size in enumerate(sizes)]
        return Network(name="net", input_shape=(random.randint(1, 90),), layers=tuple(layers))
    channels, side = random.randint(1, 20), random.randint(4, 8)
    stride, kernel = random.randint(1, 2), random.choice([1, 3])
    layers = [
        Conv(name="a", inputs=(INPUT,), out_channels=channels, kernel=kernel, padding=kernel // 2),
        BatchNorm(name="n", inputs=("a",)),
        Relu(name="r", inputs=("n",)),
        Conv(name="b", inputs=("r",), out_channels=channels, kernel=3, padding=1, bias=False),
        Add(name="s", inputs=("b", "r")),
        Conv(name="c", inputs=("s",), out_channels=random.randint(1, 20), kernel=3, stride=stride, padding=1),
        MaxPool(name="p", inputs=("c",), kernel=2, stride=2),
        Linear(name="l", inputs=("p",), out_features=random.randint(1, 20)),
    ]
    return Network(name="net", input_shape=(side, side, random.randint(1, 9)), layers=tuple(layers))


def random_config(random):
    lanes = {name: random.randint(1, 9) for name in ("sore_lanes", "wuve_lanes", "vpu_lanes")}
    buffers = {name: random.choice([2, 8, 64]) * 1024 for name in ("w2e_buffer_bytes", "n2s_buffer_bytes")}
    return AcceleratorConfig(
        name="any", rows=random.randint(2, 9), columns=random.randint(2, 9), add_latency_cycles=random.randint(1, 6),
        dram_channel_bytes_per_second=random.choice([1e8, 7e8, 3.2e9, 19.2e9]), dram_latency_cycles=random.randint(1, 300),
        output_buffer_bytes=64 * 1024, axi_data_bits=512, **lanes, **buffers,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_random_programs_take_the_same_cycles(seed):
    """Any network, machine, ratio, techniques, and one product with every choice pinned."""
    random = Random(seed)
    network, config = random_network(random), random_config(random)
    name = random.choice([layer.name for layer in network.weighted()])
    split = random.choice([None, *SPLITS])
    free = Choice(dataflow=random.choice([None, *Dataflow]), order=random.choice([None, *ORDERS]), split=split)
    given = {
        "batch": random.choice([1, 2, 7, 16]),
        "ratio": random.choice(RATIOS),
        "sparse_stages": random.choice([BOTH, frozenset({Stage.FORWARD})]),
        "techniques": Techniques(interleave=random.random() < 0.8, schedule=random.random() < 0.8),
    }
    try:
        program = lower(network, config, **given, pins={(name, Stage.WEIGHT_GRADIENT): free})
    except InputError:  # what is pinned has no room
        program = lower(network, config, **given)
    compare(program, config)
