"""The result object, of the step model: its parts add up, and it says what it left out."""

import json

import pytest

from dataflow import zoo
from dataflow.estimate import GEMM, estimate
from dataflow.program import Stage
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def run(name, config, stages, ratio, batch=4):
    return estimate(zoo.load(name), PRESETS[config], method="m", sparse_stages=stages, ratio=ratio, batch=batch, machine=False)


@pytest.fixture(scope="module")
def resnet18():
    return run("resnet18", "vcu1525", BOTH, Ratio(2, 8), 64)


def test_layers_add_up_to_the_stages(resnet18):
    for stage in GEMM:
        rows = [row for row in resnet18["layers"] if row["stage"] == stage]
        assert sum(row["cycles"] for row in rows) == resnet18["cycles"][stage]
        assert sum(row["dense_cycles"] for row in rows) == resnet18["dense_cycles"][stage]
    waiting = sum(row["waiting_cycles"] for row in resnet18["layers"])
    assert waiting == sum(resnet18["breakdown"][cause] for cause in ("vector", "update", "idle"))


def test_a_row_is_its_own_product(resnet18):
    for row in resnet18["layers"]:
        assert 0 < row["utilization"] <= 1
        stalls = sum(row[f"{cause}_cycles"] for cause in ("fill_drain", "operand_stall", "memory_stall"))
        assert row["cycles"] == row["compute_cycles"] + stalls
        assert row["m"] * row["n"] * row["kept"] == row["macs"]  # no channel count of this network leaves a ragged group
    strided = [row for row in resnet18["layers"] if row["products"] == 4]
    assert {row["name"] for row in strided} == {"layer2.1.conv1", "layer3.1.conv1", "layer4.1.conv1"}


def test_speedups_are_ratios_of_what_is_reported(resnet18):
    dense, sparse = resnet18["dense_cycles"], resnet18["cycles"]
    speedup = resnet18["speedup_over_dense"]
    assert speedup["step"] == dense["step"] / sparse["step"]
    assert speedup["gemm"] == sum(dense[stage] for stage in GEMM) / sum(sparse[stage] for stage in GEMM)
    assert 1 < speedup["gemm"] < speedup["ideal"] < 2


def test_throughput_follows_from_cycles(resnet18):
    rate = resnet18["throughput"]
    assert rate["images_per_second"] == pytest.approx(64 * 200e6 / resnet18["cycles"]["step"])
    assert rate["executed_gops"] < rate["peak_gops"] == 2 * 1024 * 0.2
    assert rate["executed_gops"] / rate["peak_gops"] == pytest.approx(resnet18["utilization"]["step"])


def test_one_sparse_stage_speeds_up_that_one_only():
    result = run("vgg19", "vcu1525", frozenset({Stage.FORWARD}), Ratio(2, 8), 32)
    assert result["cycles"]["forward"] < result["dense_cycles"]["forward"] / 3
    assert result["cycles"]["input_gradient"] == pytest.approx(result["dense_cycles"]["input_gradient"], rel=0.01)
    assert result["speedup_over_dense"]["ideal"] < 3 / (2 + 0.25)


def test_dense_is_compared_with_itself():
    for stages, ratio in ((frozenset(), Ratio(2, 8)), (BOTH, DENSE), (BOTH, Ratio(4, 4))):
        result = run("mlp", "tiny", stages, ratio)
        assert result["speedup_over_dense"] == {"gemm": 1, "step": 1, "ideal": 1}
        assert result["sparse_stages"] == []


def test_the_result_is_plain_and_labelled(resnet18):
    assert json.loads(json.dumps(resnet18)) == resnet18
    assert resnet18["estimated"] is True
    text = " ".join(resnet18["assumptions"])
    for fact in ("32 x 32", "200 MHz", "binary16", "19.2 GB/s", "MiB"):
        assert fact in text
