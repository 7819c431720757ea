"""The result object: its parts add up, and it says what it left out."""

import json

import pytest

from dataflow import zoo
from dataflow.analysis.report import GEMM, report
from dataflow.ir.program import Stage
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def run(name, config, stages, ratio, batch=4):
    return report(zoo.load(name), PRESETS[config], method="m", sparse_stages=stages, ratio=ratio, batch=batch)


@pytest.fixture(scope="module")
def resnet18():
    return run("resnet18/16", "small", BOTH, Ratio(2, 8), 2)


def test_layers_add_up_to_the_stages(resnet18):
    for stage in GEMM:
        rows = [row for row in resnet18["layers"] if row["stage"] == stage]
        assert sum(row["cycles"] for row in rows) == resnet18["cycles"][stage]
        assert sum(row["dense_cycles"] for row in rows) == resnet18["dense_cycles"][stage]
    waiting = sum(row["waiting_cycles"] for row in resnet18["layers"])
    # what is left is of layers without products, as batch norms
    assert 0 < waiting < sum(resnet18["breakdown"][cause] for cause in ("vector", "update", "idle"))


def test_a_row_is_its_own_product(resnet18):
    for row in resnet18["layers"]:
        assert 0 < row["utilization"] <= 1
        stalls = sum(row[f"{cause}_cycles"] for cause in ("fill_drain", "operand_stall", "memory_stall"))
        assert row["cycles"] == row["compute_cycles"] + stalls
        assert row["m"] * row["n"] * row["kept"] >= row["macs"] > 0  # groups of M may be ragged
    strided = [row for row in resnet18["layers"] if row["products"] == 4]
    assert {row["name"] for row in strided} == {"layer2.1.conv1", "layer3.1.conv1", "layer4.1.conv1"}
    assert {row["order"] for row in resnet18["layers"]} <= {"keep weights", "keep activations", "keep both", "stream"}


def test_speedups_are_ratios_of_what_is_reported(resnet18):
    dense, sparse = resnet18["dense_cycles"], resnet18["cycles"]
    speedup = resnet18["speedup_over_dense"]
    assert speedup["step"] == dense["step"] / sparse["step"]
    assert speedup["gemm"] == sum(dense[stage] for stage in GEMM) / sum(sparse[stage] for stage in GEMM)
    assert speedup["gemm"] > 1
    assert 1 < speedup["ideal"] < 2


def test_throughput_follows_from_cycles(resnet18):
    rate = resnet18["throughput"]
    assert rate["images_per_second"] == pytest.approx(2 * 200e6 / resnet18["cycles"]["step"])
    assert rate["executed_gops"] < rate["peak_gops"] == 2 * 64 * 0.2
    assert rate["executed_gops"] / rate["peak_gops"] == pytest.approx(resnet18["utilization"]["step"])


def test_one_sparse_stage_speeds_up_that_one_only():
    result = run("vgg19/16", "tiny", frozenset({Stage.FORWARD}), Ratio(2, 8), 2)
    assert result["cycles"]["forward"] < 0.6 * result["dense_cycles"]["forward"]
    assert result["cycles"]["input_gradient"] == pytest.approx(result["dense_cycles"]["input_gradient"], rel=0.02)
    assert result["speedup_over_dense"]["ideal"] < 3 / (2 + 0.25)


def test_dense_is_compared_with_itself():
    for stages, ratio in ((frozenset(), Ratio(2, 8)), (BOTH, DENSE), (BOTH, Ratio(4, 4))):
        result = run("mlp", "tiny", stages, ratio)
        assert result["speedup_over_dense"] == {"gemm": 1, "step": 1, "ideal": 1}
        assert result["sparse_stages"] == []


def test_the_result_is_plain_and_labelled(resnet18):
    assert json.loads(json.dumps(resnet18)) == resnet18
    assert resnet18["exact"] is True
    text = " ".join(resnet18["assumptions"])
    for fact in ("1 ports of 128 bits", "200 MHz", "40 cycles of latency", "a beat each way in every cycle", "Horowitz"):
        assert fact in text
