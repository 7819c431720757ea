"""The model against hand-derived cases and against closed-form bounds."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import zoo
from dataflow.bounds import PORTS, bounds, job_bytes
from dataflow.jobs import jobs
from dataflow.lower import lower
from dataflow.model import run
from dataflow.network import INPUT, Linear, Network
from dataflow.program import Product, Stage
from dataflow.timing import tile
from hw.config import PRESETS, AcceleratorConfig
from hw.ratio import DENSE, Ratio

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
VCU1525 = PRESETS["vcu1525"]


def step(name, config, batch, ratio=DENSE):
    network = zoo.load(name) if isinstance(name, str) else name
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=BOTH)
    return program, run(program, config)


def busy(result, resource):
    """Cycles in which a resource worked; the array's ports move in its steps only."""
    return result.busy["array" if resource in PORTS else resource]


def test_one_tile_of_one_layer_is_the_sum_of_its_parts():
    """8 x 8 outputs on 4 x 4 USPEs with 4 slots: one tile forward, one tile of weight gradient, nothing overlaps."""
    config = replace(PRESETS["tiny"], dram_channel_bytes_per_second=8 * 200e6)  # 8 bytes a cycle
    layers = (Linear(name="l", inputs=(INPUT,), out_features=8, bias=False),)
    _, result = step(Network(name="net", input_shape=(8,), layers=layers), config, 8)
    load = 2 * 8 * 8 * 2 // 8
    steps = 8 * 4
    # forward's operands; its steps, during which those of the weight gradient arrive (32 + 40 cycles of latency)
    forward = load + config.dram_latency_cycles + steps
    wait = load + load + config.dram_latency_cycles - forward
    # update of 64 weights: 16 bytes of master and momentum each, 2 of a dense copy
    tail = config.stce_latency_cycles + 64 * (16 + 2) // 8 + config.wuve_latency_cycles
    assert result.cycles == forward + max(0, wait) + steps + tail
    assert result.timeline.by_stage()["forward"] == forward
    assert result.timeline.by_cause()["compute"] == 2 * steps


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18", "vgg19"])
@pytest.mark.parametrize("ratio", [DENSE, Ratio(2, 8)])
def test_every_cycle_is_accounted_for_once(name, ratio):
    _, result = step(name, VCU1525, 32, ratio)
    spans = result.timeline.spans
    assert spans[0].start == 0
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert sum(result.timeline.by_cause().values()) == result.cycles
    assert sum(result.timeline.by_stage().values()) == result.cycles
    assert sum(sum(causes.values()) for causes in result.timeline.by_product().values()) == result.cycles


@pytest.mark.parametrize("name", zoo.NAMES)
@pytest.mark.parametrize("ratio", [DENSE, Ratio(1, 4), Ratio(2, 8), Ratio(2, 16)])
@pytest.mark.parametrize("config", [VCU1525, PRESETS["small"]], ids=["vcu1525", "small"])
def test_never_below_a_bound(name, ratio, config):
    program, result = step(name, config, 4, ratio)
    least = bounds(program, config)
    assert all(result.cycles >= cycles for cycles in least.values()), least
    assert all(busy(result, name) >= cycles for name, cycles in least.items()), (least, result.busy)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=4),
    batch=st.integers(1, 70),
    ratio=st.sampled_from([DENSE, Ratio(2, 4), Ratio(2, 8)]),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    slots=st.integers(1, 6),
    bytes_per_second=st.sampled_from([1e8, 1.6e9, 19.2e9]),
    lanes=st.integers(1, 8),
    buffer_bytes=st.sampled_from([8 * 1024, 64 * 1024]),
)
def test_never_below_a_bound_on_any_machine(sizes, batch, ratio, rows, columns, slots, bytes_per_second, lanes, buffer_bytes):
    config = AcceleratorConfig(
        name="any", rows=rows, columns=columns, add_latency_cycles=slots, dram_channel_bytes_per_second=bytes_per_second,
        axi_data_bits=512,
        sore_lanes=lanes, wuve_lanes=lanes, vpu_lanes=lanes,
        w2e_buffer_bytes=buffer_bytes, n2s_buffer_bytes=buffer_bytes, output_buffer_bytes=64 * 1024,
    )  # fmt: skip
    names = [INPUT, *(f"l{i}" for i in range(len(sizes)))]
    layers = tuple(Linear(name=names[i + 1], inputs=(names[i],), out_features=size) for i, size in enumerate(sizes))
    program, result = step(Network(name="net", input_shape=(7,), layers=layers), config, batch, ratio)
    assert all(busy(result, name) >= cycles for name, cycles in bounds(program, config).items())
    assert result.cycles >= max(result.busy.values())
    assert sum(result.timeline.by_cause().values()) == result.cycles


def test_each_product_takes_its_steps_and_its_traffic():
    program, result = step("resnet18", VCU1525, 8, Ratio(2, 8))
    causes = result.timeline.by_product()
    steps = {}
    for p in program.products:
        key = p.layer, p.stage
        steps[key] = steps.get(key, 0) + tile(VCU1525, p.m, p.n, p.kept, p.interleave).steps
    assert {key: cycles["compute"] for key, cycles in causes.items()} == steps
    assert result.memory_bytes >= sum(job_bytes(job, program, VCU1525) for job in jobs(VCU1525, program))


def test_sparse_stages_run_at_the_ratio():
    _, dense = step("vgg19", VCU1525, 64)
    _, sparse = step("vgg19", VCU1525, 64, Ratio(2, 8))
    for stage in ("forward", "input_gradient"):
        share = dense.timeline.by_stage()[stage] / sparse.timeline.by_stage()[stage]
        assert 3.4 < share <= 4.01  # waits for memory may favour either
    assert sparse.timeline.by_stage()["weight_gradient"] == pytest.approx(
        dense.timeline.by_stage()["weight_gradient"], rel=0.01
    )


def test_more_channels_never_cost_cycles():
    cycles = [step("resnet18", replace(VCU1525, dram_channels=channels), 64, Ratio(2, 8))[1].cycles for channels in (1, 2, 4)]
    assert cycles == sorted(cycles, reverse=True)


def test_a_slow_update_engine_is_seen_as_such():
    config = replace(VCU1525, wuve_lanes=1, sore_lanes=1)
    program, result = step("resnet18", config, 4, Ratio(2, 8))
    assert result.timeline.by_cause()["update"] > result.cycles / 2
    assert result.cycles >= bounds(program, config)["update"]


def test_cycles_do_not_depend_on_how_often_the_model_ran():
    assert step("cnn", PRESETS["tiny"], 3)[1].cycles == step("cnn", PRESETS["tiny"], 3)[1].cycles


def test_first_layer_has_no_input_gradient():
    program, result = step("cnn", PRESETS["tiny"], 1)
    assert ("conv1", Stage.INPUT_GRADIENT) not in result.timeline.by_product()
    assert all(isinstance(product, Product) for product in program.products)
