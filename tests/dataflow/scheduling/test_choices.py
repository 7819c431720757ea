"""Choices that are pinned, and techniques that are switched off."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from dataflow import zoo
from dataflow.analysis import studies
from dataflow.analysis.exact import RATES
from dataflow.analysis.report import report, run_step
from dataflow.analysis.work import array_steps, elements_of
from dataflow.compile.assemble import assemble
from dataflow.ir.program import Dataflow, Stage
from dataflow.ir.techniques import ALL, NAMES, without
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Conv, Network
from dataflow.scheduling import choices, pins
from dataflow.scheduling.choices import beats_of
from dataflow.scheduling.timing import tile
from dataflow.zoo.chain import Chain
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.checks import weights_can_stay
from hw.isa.commands import Product, Source
from hw.ratio import DENSE, Ratio

VCU1525, SMALL, TINY = PRESETS["vcu1525"], PRESETS["small"], PRESETS["tiny"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def figures(config=SMALL, name="resnet9/16", batch=2, **given):
    return report(zoo.load(name), config, method="bdwp", sparse_stages=BOTH, ratio=Ratio(2, 8), batch=batch, **given)


def test_a_schedule_that_was_saved_gives_the_same_step(tmp_path):
    free = figures()
    pins.save(tmp_path / "s.json", "resnet9", "small", free["layers"])
    read = pins.read(tmp_path / "s.json", SMALL)
    assert len(read) == len(free["layers"])
    assert figures(pins=read)["program"] == free["program"]


def test_a_pinned_choice_is_kept(tmp_path):
    entry = {"layer": "conv2", "stage": "forward", "dataflow": "os", "interleave": [1, 1]}
    (tmp_path / "s.json").write_text(json.dumps({"choices": [entry]}))
    free, pinned = figures(), figures(pins=pins.read(tmp_path / "s.json", SMALL))
    rows = {(row["name"], row["stage"]): row for row in pinned["layers"]}
    assert rows["conv2", "forward"]["interleave"] == "1x1"
    before = {(row["name"], row["stage"]): row for row in free["layers"]}
    assert before["conv2", "forward"]["interleave"] != "1x1"
    assert free["program"] != pinned["program"]
    assert [row["interleave"] for key, row in rows.items() if key != ("conv2", "forward")] == [
        row["interleave"] for key, row in before.items() if key != ("conv2", "forward")
    ]


def test_weight_stationary_is_a_choice():
    key = ("fc2", Stage.FORWARD)
    program = lower(zoo.load("mlp"), TINY, batch=512, pins={key: pins.Choice(dataflow=Dataflow.WEIGHT_STATIONARY)})
    product = next(p for p in program.products if (p.layer, p.stage) == key)
    assert product.dataflow is Dataflow.WEIGHT_STATIONARY
    made = assemble(zoo.load("mlp"), program, TINY, RATES)
    commands = [command for command in made.forward if isinstance(command, Product) and command.vectors]
    # 16 row tiles of 16 rounds of 512 columns
    assert [array_steps(TINY, command) for command in commands if command.rounds == 64] == [16 * 16 * 512]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"s\.json:1: not JSON"),
        ("[]", "must be an object with a list 'choices'"),
        ('{"choices": [{"stage": "forward"}]}', "choice 1: must be an object that names a 'layer'"),
        ('{"choices": [{"layer": "a", "stage": "x"}]}', "choice 1: stage must be one of forward, input_gradient, weight_gr"),
        ('{"choices": [{"layer": "a", "stage": "forward", "order": "x"}]}', "unknown field 'order'; allowed: layer, stage"),
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
    small = replace(TINY, n2s_buffer_bytes=512)
    pin = {("fc2", Stage.FORWARD): pins.Choice(Dataflow.OUTPUT_STATIONARY, (1, 4))}
    with pytest.raises(
        InputError, match="fc2, forward: n2s_buffer_bytes of tiny must be at least 1024, two shares of one group"
    ):
        lower(zoo.load("mlp"), small, batch=16, pins=pin)


@pytest.mark.parametrize("name", NAMES)
def test_each_technique_is_worth_something(name):
    with_all, less = figures(), figures(techniques=without(name))
    assert less["cycles"]["step"] > with_all["cycles"]["step"]
    assert less["techniques"][name] is False


def test_without_interleaving_an_accumulator_waits_for_its_adder():
    """Four slots, one of them used: products whose tiles are full take four times as many steps."""
    steps = []
    for techniques in (ALL, without("interleave")):
        program = lower(zoo.load("resnet9"), VCU1525, batch=64, techniques=techniques)
        product = next(p for p in program.products if (p.layer, p.stage) == ("conv3", Stage.FORWARD))
        steps.append(free_steps(VCU1525, product))
    assert steps[1] == 4 * steps[0]


def test_pregeneration_cannot_be_left_out():
    """The accelerator packs weights while it updates them, and only then: no program is without it."""
    with pytest.raises(InputError, match=r"^unknown technique 'pregenerate'; allowed: interleave, schedule$"):
        without("pregenerate")


def test_unknown_technique_is_named():
    with pytest.raises(InputError, match=r"^unknown technique 'luck'; allowed: interleave, schedule$"):
        without("luck")


def test_windows_are_read_once_where_a_ring_holds_them():
    """Every pixel of the input of a product with taps is loaded once, and every weight once for all of its tiles or each."""
    program = lower(zoo.load("resnet9/8"), SMALL, batch=2)
    made = assemble(zoo.load("resnet9/8"), program, SMALL, RATES)
    ring = [(load, product) for load, product in pairwise(made.forward) if isinstance(product, Product) and product.cuts]
    assert len(ring) > 3
    for load, product in ring:
        pixels = 2 * product.grid_y * product.grid_x
        channels = product.rounds // (product.taps_y * product.taps_x)
        assert (load.source, elements_of(load.walk)) == (Source.ACTIVATIONS, pixels * channels)


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
    points = list(studies.bandwidth(zoo.load("cnn/2"), replace(SMALL, axi_data_bits=512), ratio=Ratio(2, 8), batch=2))
    rates = [point["images_per_second"] for point in points]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_weights_stay_only_where_the_accelerator_can_do_it():
    """Three columns, where steps alone would rather have cnn's weights stay; and N = 3."""
    config, network = replace(TINY, columns=3), zoo.load("cnn")
    options = {"batch": 2, "ratio": Ratio(2, 8), "sparse_stages": BOTH}
    assert all(product.dataflow is Dataflow.OUTPUT_STATIONARY for product in lower(network, config, **options).products)
    pin = {("conv2", Stage.FORWARD): pins.Choice(dataflow=Dataflow.WEIGHT_STATIONARY)}
    with pytest.raises(
        InputError, match="conv2, forward: dataflow must be os on an accelerator whose columns are no power of two"
    ):
        lower(network, config, pins=pin, **options)
    assert [weights_can_stay(TINY, Ratio(n, 8)) for n in (1, 2, 3, 4)] == [True, True, False, True]


def free_steps(config, product):
    return tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow).steps


def test_beats_of_runs():
    """32 elements a beat, chunks of 32: whole beats, halves of one, runs of 21 in 147, which chunks cut into 11.4 pieces."""
    assert beats_of(4096, 64, 32, 32) == beats_of(4096, 32, 32, 32) == 128
    assert beats_of(4096, 16, 32, 32) == 256
    pieces = 7 + 147 / 32 - 147 / 672
    assert beats_of(147, 21, 32, 32) == pytest.approx(pieces + (147 - pieces) / 32)


@pytest.mark.parametrize(("ratio", "weight_beats"), [(DENSE, 64 * 64 // 4), (Ratio(2, 8), 64 * 16 // 2)])
def test_a_packed_weight_takes_twice_the_bytes_of_a_dense_one(ratio, weight_beats):
    """Beats of 8 bytes, one port: 64 x 64 weights of 2 bytes, or a quarter of them with indices, and 16 x 64 activations."""
    chain = Chain().linear("a", 64).relu().linear("b", 64).relu().linear("c", 10)
    network = chain.network("three", (64,))
    program = lower(network, TINY, batch=16, ratio=ratio, sparse_stages=BOTH if ratio != DENSE else frozenset())
    product = next(one for one in program.products if (one.layer, one.stage) == ("b", Stage.FORWARD))
    assert product.ratio == ratio
    beats, _ = choices._beats(TINY, product, program.regions)
    assert beats == weight_beats + 16 * 64 // 4


def test_a_larger_buffer_is_no_reason_for_a_slower_choice():
    """A first convolution, whose windows are gathered: 512 columns a tile, of weights that stay, would be slower."""
    layers = (Conv(name="conv1", inputs=(INPUT,), out_channels=64, kernel=7, stride=2, padding=3),)
    network = Network(name="first", input_shape=(32, 32, 3), layers=layers)
    cycles = []
    for size in (2, 8):
        config = replace(VCU1525, n2s_buffer_bytes=size << 20)
        made = assemble(network, lower(network, config, batch=32), config, RATES)
        cycles.append(execute(config, made.forward, Memory.of(config)).cycles)
    assert cycles[1] <= cycles[0]
