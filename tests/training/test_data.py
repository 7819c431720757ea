"""Data sets as they come: digits, random ones, batches that are augmented, drawn and normalised."""

import numpy as np
import pytest

from hw.errors import InputError
from training.data import Data, Normalise, digits, load_data, random_data
from training.readers.form import Form

RNG = np.random.default_rng(0)


def test_random_data_have_every_class_and_normal_numbers():
    """Of 64 images to train with and 16 to test; the same again of the same seed."""
    data = random_data((4, 5, 3), 3, 7)
    assert data.train_images.shape == (64, 4, 5, 3) and data.test_images.shape == (16, 4, 5, 3)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_labels.shape == (64,) and data.test_labels.shape == (16,)
    assert set(data.train_labels) == set(data.test_labels) == {0, 1, 2}
    numbers = np.concatenate([data.train_images, data.test_images])
    assert abs(numbers.mean()) < 0.1 and abs(numbers.std() - 1) < 0.1  # of 4,800 numbers: 7 and 10 deviations
    again, other = random_data((4, 5, 3), 3, 7), random_data((4, 5, 3), 3, 8)
    assert (again.train_images == data.train_images).all() and (again.test_labels == data.test_labels).all()
    assert (other.train_images != data.train_images).mean() > 0.99


def test_digits_are_split_by_class_a_fifth_to_test():
    """1,797 images of 17 grey levels, of which 360 are a fifth; between 34 and 37 of each class."""
    data = digits()
    assert data.train_images.shape == (1437, 8, 8, 1) and data.test_images.shape == (360, 8, 8, 1)
    assert set(np.unique(data.train_images) * 16) == set(range(17))
    counts = np.bincount(data.test_labels)
    assert len(counts) == 10 and counts.min() >= 34 and counts.max() <= 37
    assert (digits().test_labels == data.test_labels).all()
    assert load_data("digits").train_labels.tolist() == data.train_labels.tolist()
    with pytest.raises(InputError, match=r"^image_size is for folder:PATH, not for 'digits'$"):
        load_data("digits", Form(image_size=8))


def test_numbers_are_scaled_then_centred_by_channel():
    """(51 / 255 - 0.1) / 0.5 and (255 / 255 - 0.5) / 0.25; of a scale of one (3 - 1) / 4."""
    bytes_of = np.array([[[[51, 255]]]], np.uint8)
    np.testing.assert_allclose(Normalise((0.1, 0.5), (0.5, 0.25))(bytes_of).ravel(), [0.2, 2], rtol=1e-6)
    np.testing.assert_allclose(Normalise((1.0,), (4.0,), 1.0)(np.full((1, 1, 1, 1), 3.0, np.float32)).ravel(), [0.5])


def test_a_batch_is_drawn_or_chosen_then_augmented_then_normalised():
    images, labels = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * 51, np.arange(6)
    data = Data(images, labels, images[::-1], labels[::-1], normalise=Normalise((0.0,), (1.0,)))
    chosen = np.array([4, 1])
    found, of = data.batch(chosen, RNG)
    np.testing.assert_allclose(found.ravel(), [0.8, 0.2], rtol=1e-6)
    assert of.tolist() == [4, 1]
    found, of = data.test_batch(slice(1, 3))
    np.testing.assert_allclose(found.ravel(), [0.8, 0.6], rtol=1e-6)
    assert of.tolist() == [4, 3]
    changed = Data(images, labels, images, labels, augment=lambda given, rng: given + 1, draw=lambda of, rng: 10 * of)
    assert changed.batch(chosen, RNG)[0].tolist() == [41, 11]
    assert changed.test_batch(slice(2, 3))[0].ravel().tolist() == [102]
