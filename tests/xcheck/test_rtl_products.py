"""RTL, cycle model and NumPy agree on random products, played back to back on the Verilog."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.array import ArrayUnit
from dataflow.lower import lower
from dataflow.pins import Choice
from dataflow.program import Dataflow
from hw.config import PRESETS
from hw.ratio import Ratio, parse_ratio
from sim.cosim import check, load_operands, singles, summary
from sim.gemm import Gemm, reference
from sim.rtl import play_products
from training import methods
from training.backend import ExactBackend
from training.data import load_data
from training.model import Model
from training.optimiser import Sgd
from training.step import training_step

RATIOS = ["dense", "1:4", "2:4", "1:8", "2:8", "4:8", "1:16", "2:16", "4:16", "3:5"]


def random_gemms(count, seed):
    rng = np.random.default_rng(seed)
    for number in range(count):
        m, n, k = (int(rng.integers(1, 40)) for _ in "mnk")
        ratio, dataflow = parse_ratio(RATIOS[number % len(RATIOS)]), Dataflow(rng.choice(list(Dataflow)))
        yield Gemm(config=PRESETS["tiny"], m=m, n=n, k=k, ratio=ratio, dataflow=dataflow, seed=number)


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.7])
def test_random_products(stall):
    config = PRESETS["tiny"]
    operands = [gemm.operands() for gemm in random_gemms(100, seed=int(100 * stall))]
    played = play_products(config, operands, stall_probability=stall, seed=3)
    for one, result in zip(operands, played.results, strict=True):
        np.testing.assert_array_equal(result.view(np.uint32), reference(config, one).view(np.uint32))
    model = ArrayUnit(config, [one.tile(config) for one in operands]).run()
    if stall:
        assert all(measured > predicted for measured, predicted in zip(played.cycles[1:], model[1:], strict=True))
    else:
        assert played.cycles == model


def test_special_values_pass_through_the_array_bit_by_bit():
    """Infinities, NaN, subnormals and signed zeros among the operands, dense and sparse."""
    config, rng = PRESETS["tiny"], np.random.default_rng(5)
    specials = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E01, 0x3C00], np.uint16)
    operands = []
    for ratio in ("dense", "2:8"):
        one = Gemm(config=config, m=32, n=32, k=24, ratio=parse_ratio(ratio), seed=1).operands()
        for array in (one.weights, one.activations):
            where = rng.random(array.shape) < 0.1
            array[where] = rng.choice(specials, int(where.sum()))
        operands.append(one)
    played = play_products(config, operands)
    for one, result in zip(operands, played.results, strict=True):
        expected = reference(config, one).view(np.uint32)
        assert np.isnan(expected.view(np.float32)).any()
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
