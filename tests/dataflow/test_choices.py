"""Choices that are pinned, and techniques that are switched off."""

import json
from dataclasses import replace

import pytest

from dataflow import pins, studies, zoo
from dataflow.bounds import bounds
from dataflow.estimate import estimate, run_step
from dataflow.jobs import jobs
from dataflow.lower import lower
from dataflow.model import run
from dataflow.program import Dataflow, Stage, Update
from dataflow.techniques import NAMES, without
from dataflow.timing import tile
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.checks import weights_can_stay
from hw.ratio import DENSE, Ratio

VCU1525, TINY = PRESETS["vcu1525"], PRESETS["tiny"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def figures(config=VCU1525, name="resnet18", batch=8, **given):
    given |= {"method": "bdwp", "sparse_stages": BOTH, "ratio": Ratio(2, 8), "machine": False}
    return estimate(zoo.load(name), config, batch=batch, **given)


def test_a_schedule_that_was_saved_gives_the_same_step(tmp_path):
    free = figures()
    pins.save(tmp_path / "s.json", "resnet18", "vcu1525", free["layers"])
    read = pins.read(tmp_path / "s.json", VCU1525)
    assert len(read) == len(free["layers"])
    assert figures(pins=read)["layers"] == free["layers"]


def test_a_pinned_choice_is_kept(tmp_path):
    entry = {
        "layer": "layer1.1.conv1",
        "stage": "forward",
        "dataflow": "os",
        "interleave": [1, 1],
        "order": "stream",
        "split": 3,
    }
    (tmp_path / "s.json").write_text(json.dumps({"choices": [entry]}))
    free, pinned = figures(), figures(pins=pins.read(tmp_path / "s.json", VCU1525))
    rows = {(row["name"], row["stage"]): row for row in pinned["layers"]}
    row = rows["layer1.1.conv1", "forward"]
    assert (row["interleave"], row["order"], row["split"]) == ("1x1", "stream", 3)
    before = next(r for r in free["layers"] if (r["name"], r["stage"]) == ("layer1.1.conv1", "forward"))
    assert row["compute_cycles"] == 4 * before["compute_cycles"]  # one slot of four
    assert rows["layer1.1.conv2", "forward"]["interleave"] != "1x1"


def test_weight_stationary_is_a_choice():
    key = ("fc2", Stage.FORWARD)
    program = lower(zoo.load("mlp"), TINY, batch=512, pins={key: pins.Choice(dataflow=Dataflow.WEIGHT_STATIONARY)})
    product = next(p for p in program.products if (p.layer, p.stage) == key)
    assert product.dataflow is Dataflow.WEIGHT_STATIONARY
    job = next(job for job in jobs(TINY, program) if (job.layer, job.stage) == key)
    # 16 row tiles of 16 rounds of 512 columns, then the array empties
    assert job.products[0][1].steps == 16 * 16 * 512 + TINY.stationary_steps + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"s\.json:1: not JSON"),
        ("[]", "must be an object with a list 'choices'"),
        ('{"choices": [{"stage": "forward"}]}', "choice 1: must be an object that names a 'layer'"),
        ('{"choices": [{"layer": "a", "stage": "x"}]}', "choice 1: stage must be one of forward, input_gradient, weight_gr"),
        ('{"choices": [{"layer": "a", "stage": "forward", "order": "x"}]}', "order must be one of keep weights, keep act"),
        ('{"choices": [{"layer": "a", "stage": "forward", "interleave": [3, 2]}]}', "with a product of at most 4, not"),
        ('{"choices": [{"layer": "a", "stage": "forward", "tile": 3}]}', "unknown field 'tile'; allowed: layer, stage"),
    ],
)
def test_wrong_schedule_files_say_what_is_allowed(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(InputError, match=message):
        pins.read(tmp_path / "s.json", VCU1525)


def test_pins_must_fit_the_network_and_the_buffers():
    with pytest.raises(InputError, match="there is no product 'x', forward; layers are fc1, fc2, fc3"):
        lower(zoo.load("mlp"), TINY, batch=1, pins={("x", Stage.FORWARD): pins.Choice()})
    small = replace(TINY, n2s_buffer_bytes=512, w2e_buffer_bytes=512)
    pinned = pins.Choice(Dataflow.OUTPUT_STATIONARY, (2, 2), "keep weights", 2)
    with pytest.raises(InputError, match="'keep weights' does not fit the buffers; allowed: stream"):
        lower(zoo.load("mlp"), small, batch=16, pins={("fc2", Stage.FORWARD): pinned})


@pytest.mark.parametrize("name", NAMES)
def test_each_technique_is_worth_something(name):
    with_all, less = figures(), figures(techniques=without(name))
    assert less["cycles"]["step"] > with_all["cycles"]["step"]
    assert less["techniques"][name] is False


def test_without_interleaving_an_accumulator_waits_for_its_adder():
    with_all, less = figures(), figures(techniques=without("interleave"))
    compute = [result["breakdown"]["compute"] for result in (with_all, less)]
    assert 3.5 < compute[1] / compute[0] <= 4  # four slots, one of them used; ragged tiles lose less


def test_without_pregeneration_every_sparse_product_selects_first():
    program = lower(zoo.load("cnn"), TINY, batch=2, ratio=Ratio(2, 8), sparse_stages=BOTH, techniques=without("pregenerate"))
    selections = [c for c in program.commands if isinstance(c, Update) and c.writes]
    assert [c.writes[0] for c in selections] == [
        "conv2.weight_forward", "conv3.weight_forward", "conv3.weight_backward", "conv2.weight_backward",
    ]  # fmt: skip
    updates = [c for c in program.commands if isinstance(c, Update) and not c.writes]
    assert all(not c.packed and c.dense_copy for c in updates)
    result = run(program, TINY)
    assert all(result.cycles >= cycles for cycles in bounds(program, TINY).values())


def test_unknown_technique_is_named():
    with pytest.raises(InputError, match=r"^unknown technique 'luck'; allowed: interleave, pregenerate, schedule$"):
        without("luck")


def test_windows_are_read_once_where_rows_fit():
    layer = next(row for row in figures()["layers"] if (row["name"], row["stage"]) == ("layer1.1.conv1", "forward"))
    image, weights, results = 8 * 16 * 16 * 64 * 2, 64 * 9 * 16 * (16 + 3) // 8, 8 * 16 * 16 * 64 * 2
    assert layer["memory_bytes"] == image + weights + results


def test_studies_answer_for_every_network():
    networks = [zoo.load("cnn")]
    (row,) = studies.ablation(networks, TINY, ratio=Ratio(2, 8), batch=4)
    assert all(row[f"worth_{name}"] >= 1 for name in NAMES)
    rows = list(studies.ratios(networks, TINY, batch=4))
    assert [(r["method"], r["ratio"]) for r in rows[:4]] == [
        ("dense", "dense"), ("srste", "2:4"), ("srste", "2:8"), ("srste", "2:16"),
    ]  # fmt: skip
    assert len(rows) == 1 + 4 * 3
    assert all(r["ideal"] >= 1 for r in rows)
    assert rows[0]["cycles"] == run_step(networks[0], TINY, frozenset(), DENSE, 4).result.cycles
    assert DENSE.is_dense


def test_where_memory_becomes_the_limit():
    points = list(studies.bandwidth(zoo.load("resnet9"), VCU1525, ratio=Ratio(2, 8), batch=16))
    rates = [point["images_per_second"] for point in points]
    assert rates == sorted(rates)
    below = studies.memory_bound_below(points)
    assert points[0]["bytes_per_second"] < below < points[-1]["bytes_per_second"]
    assert studies.memory_bound_below(points[-2:]) is None


def test_weights_stay_only_where_the_accelerator_can_do_it():
    """Three columns, where the array alone would rather have cnn's weights stay; and N = 3."""
    config, network = replace(TINY, columns=3), zoo.load("cnn")
    options = {"batch": 2, "ratio": Ratio(2, 8), "sparse_stages": BOTH}
    assert all(product.dataflow is Dataflow.OUTPUT_STATIONARY for product in lower(network, config, **options).products)
    pin = {("conv2", Stage.FORWARD): pins.Choice(dataflow=Dataflow.WEIGHT_STATIONARY)}
    free, pinned = (
        next(product for product in lower(network, config, pins=given, **options).products if product.layer == "conv2")
        for given in ({}, pin)
    )
    assert pinned.dataflow is Dataflow.WEIGHT_STATIONARY
    assert tile(config, pinned.m, pinned.n, pinned.kept, (1, 1), pinned.dataflow).steps < free_steps(config, free)
    assert [weights_can_stay(TINY, Ratio(n, 8)) for n in (1, 2, 3, 4)] == [True, True, False, True]


def free_steps(config, product):
    return tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow).steps
