"""RTL, cycle model and NumPy agree on random products, played back to back on the Verilog."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.ir.program import Dataflow
from dataflow.lowering.lower import lower
from dataflow.scheduling.array import ArrayUnit
from dataflow.scheduling.pins import Choice
from hw.config import PRESETS, AcceleratorConfig
from hw.ratio import Ratio, parse_ratio
from sim.rtl.gemm import Gemm, reference
from sim.rtl.products import play_products
from sim.steps.cosim import check, load_operands, singles, summary
from training import methods
from training.backend import ExactBackend
from training.data import load_data
from training.model import Model
from training.optimiser import Sgd
from training.step import training_step

RATIOS = ["dense", "1:4", "2:4", "1:8", "2:8", "4:8", "1:16", "2:16", "4:16", "3:5"]


ARRAYS = [
    PRESETS["tiny"],
    AcceleratorConfig(name="dot", rows=1, columns=1, storage="float8_e5m2", multiply_latency_cycles=1, add_latency_cycles=1),
    AcceleratorConfig(name="line", rows=1, columns=5, storage="bfloat16", max_group=8, add_latency_cycles=3),
    AcceleratorConfig(name="odd", rows=3, columns=2, storage="float8_e4m3fn", add_latency_cycles=2, partial_sum_words=24),
]


def random_gemms(config, count, seed):
    """Every ratio that the array can run, in turn, either dataflow, any shape."""
    rng = np.random.default_rng(seed)
    ratios = [ratio for ratio in map(parse_ratio, RATIOS) if ratio.m <= config.max_group]
    for number in range(count):
        m, n, k = (int(rng.integers(1, 40)) for _ in "mnk")
        dataflow = Dataflow(rng.choice(list(Dataflow)))
        yield Gemm(config=config, m=m, n=n, k=k, ratio=ratios[number % len(ratios)], dataflow=dataflow, seed=number)


@pytest.mark.parametrize("config", ARRAYS, ids=lambda config: f"{config.name}-{config.storage}")
@pytest.mark.parametrize("stall", [0.0, 0.2, 0.7])
def test_random_products(config, stall):
    operands = [gemm.operands() for gemm in random_gemms(config, 60, seed=int(100 * stall))]
    played = play_products(config, operands, stall_probability=stall, seed=3)
    for one, result in zip(operands, played.results, strict=True):
        np.testing.assert_array_equal(result.view(np.uint32), reference(config, one).view(np.uint32))
    model = ArrayUnit(config, [one.tile(config) for one in operands]).run()
    if stall:
        assert all(measured > predicted for measured, predicted in zip(played.cycles[1:], model[1:], strict=True))
    else:
        assert played.cycles == model


@pytest.mark.parametrize("config", ARRAYS, ids=lambda config: f"{config.name}-{config.storage}")
def test_special_values_pass_through_the_array_bit_by_bit(config):
    """Infinities, NaN, subnormals, signed zeros and the largest numbers among the operands, dense and sparse."""
    form, rng = config.storage_format, np.random.default_rng(5)
    least, one = 1 << form.mantissa_bits, form.bias << form.mantissa_bits
    positive = [0, 1, least - 1, least, one, form.infinity - 1, form.infinity]
    specials = np.array([*positive, *(bits | 1 << form.width - 1 for bits in positive), form.infinity + 1], np.uint16)
    operands = []
    for ratio in ("dense", "2:8"):
        product = Gemm(config=config, m=32, n=32, k=24, ratio=parse_ratio(ratio), seed=1).operands()
        for array in (product.weights, product.activations):
            where = rng.random(array.shape) < 0.1
            array[where] = rng.choice(specials, int(where.sum()))
        operands.append(product)
    played = play_products(config, operands)
    for product, result in zip(operands, played.results, strict=True):
        expected = reference(config, product).view(np.uint32)
        assert np.isnan(expected.view(np.float32)).any()
        assert np.isfinite(expected.view(np.float32)).any()
        np.testing.assert_array_equal(result.view(np.uint32), expected)


def test_a_pinned_schedule_is_what_the_array_plays():
    """A step whose products are pinned weight-stationary gives the trainer's words in the model's cycles."""
    config, stages = PRESETS["tiny"], methods.load("bdwp").sparse_stages
    model = Model(zoo.load("cnn"), ExactBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=Ratio(2, 8))
    image = {}
    images, labels = load_data("digits").train_images[:6], load_data("digits").train_labels[:6]
    training_step(model, Sgd(), images, labels, 0.01, image)
    free = lower(model.network, config, batch=6, ratio=Ratio(2, 8), sparse_stages=stages)
    pins = {(one.layer, one.stage): Choice(dataflow=Dataflow.WEIGHT_STATIONARY) for one in free.products}
    program = lower(model.network, config, batch=6, ratio=Ratio(2, 8), sparse_stages=stages, pins=pins)
    operands = [load_operands(config, product, image) for product in singles(program)]
    assert {one.dataflow for one in operands} == {Dataflow.WEIGHT_STATIONARY}
    result = summary([check(config, program, image, operands, play_products(config, operands))])
    assert (result["words_different"], result["cycles_equal"]) == (0, True)
