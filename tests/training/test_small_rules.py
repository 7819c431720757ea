"""Small rules of the trainer by values with their derivation."""

from math import cos, pi

import numpy as np
import pytest

from training import loop
from training.data import Data
from training.experiment import Experiment, build_model, build_optimiser
from training.loop import Options
from training.readers.augment import CropAndFlip
from training.readers.cifar import NORMALISE_10, NORMALISE_100
from training.schedule import load_schedule
from training.step import Outcome


def test_after_the_warm_up_the_schedule_fills_the_rest():
    """Of a training with a fifth of warm-up, 0.6 is half of the rest, and 0.4 a quarter."""
    rate = load_schedule("cosine", 0.2)
    assert [rate(fraction) for fraction in (0, 0.05, 0.2, 0.4, 0.6, 1)] == pytest.approx(
        [0, 0.25, 1, (1 + cos(pi / 4)) / 2, 0.5, 0], abs=1e-12
    )
    assert [load_schedule("step", 0.2)(fraction) for fraction in (0.59, 0.61, 0.79, 0.81)] == [1, 0.1, 0.1, 0.01]


def test_every_crop_of_the_padded_image_is_drawn():
    """A pixel in the middle of 3x3, padded by 1, comes to lie on each of the 9 places, and mirrored half of the time."""
    image = np.zeros((1, 3, 3, 1), np.uint8)
    image[0, 1, 1] = 1
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        (place,) = zip(*np.nonzero(CropAndFlip(1)(image, rng)[0, :, :, 0]), strict=True)
        seen.add(tuple(map(int, place)))
    assert seen == {(row, column) for row in range(3) for column in range(3)}
    corner = np.zeros((1, 3, 3, 1), np.uint8)
    corner[0, 0, 0] = 1
    places = {tuple(map(int, np.argwhere(CropAndFlip(0)(corner, rng)[0, :, :, 0])[0])) for _ in range(50)}
    assert places == {(0, 0), (0, 2)}


def test_cifar_is_normalised_by_the_published_means_and_deviations():
    """Of all training pixels over 255, as common training recipes give them."""
    assert NORMALISE_10.mean == (0.4914, 0.4822, 0.4465) and NORMALISE_10.deviation == (0.2470, 0.2435, 0.2616)
    assert NORMALISE_100.mean == (0.5071, 0.4865, 0.4409) and NORMALISE_100.deviation == (0.2673, 0.2564, 0.2762)
    image = np.full((1, 1, 1, 3), 255, np.uint8)
    expected = [(1 - mean) / deviation for mean, deviation in zip(NORMALISE_100.mean, NORMALISE_100.deviation, strict=True)]
    np.testing.assert_allclose(NORMALISE_100(image)[0, 0, 0], expected, rtol=1e-5)


def test_skipped_steps_are_those_that_updated_nothing():
    """Of two epochs of 3 steps the second and the sixth leave the weights as they were."""
    updated = iter([True, False, True, True, True, False])

    def step(*_, **__):
        return Outcome(1.0, 1, next(updated))

    images, labels = np.zeros((5, 8, 8, 1), np.float32), np.arange(5)
    experiment = Experiment(method="dense")
    model = build_model(experiment, np.random.default_rng(0))
    options = Options(epochs=2, batch=2)
    data, optimiser = Data(images, labels, images, labels), build_optimiser(experiment)
    done = loop.train(model, optimiser, data, options, np.random.default_rng(0), step=step)
    assert done.skipped_steps == 2
    assert done.train_loss == [1, 1] and done.train_accuracy == [3 / 5, 3 / 5]
