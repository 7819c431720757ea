"""The order of the vector unit's reductions."""

from fractions import Fraction

import numpy as np
import pytest

from training.backend import ExactBackend
from training.reductions import largest_term, sum_terms


def in_order(terms, partial_sums):
    """The same sum one addition at a time, each of numpy.float32 scalars."""
    parts = [np.float32(0)] * partial_sums
    for number, term in enumerate(terms):
        parts[number % partial_sums] = parts[number % partial_sums] + np.float32(term)
    half = partial_sums
    while half > 1:
        half //= 2
        for place in range(half):
            parts[place] = parts[place] + parts[place + half]
    return parts[0]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 100])
def test_sixteen_partial_sums_folded_by_halves(count):
    terms = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    assert sum_terms(terms).tolist() == [in_order(terms[:, column], 16) for column in range(3)]


@pytest.mark.parametrize("count", [1, 31, 32, 33, 500])
def test_rows_have_thirty_two(count):
    """What layer norm and softmax add up; the same numbers as channels have other sums."""
    rows = np.random.default_rng(count).normal(size=(2, 3, count)).astype(np.float32)
    sums = ExactBackend().sum_last(rows)
    assert sums.shape == (2, 3, 1)
    assert sums.ravel().tolist() == [in_order(row, 32) for row in rows.reshape(6, count)]


def test_the_order_counts():
    """Half a unit in the last place is lost where it meets the 1, in partial sum 0 twice; fourteen of sixteen meet."""
    half = np.float32(2.0**-24)
    terms = np.array([1, *[half] * 16], np.float32)
    assert sum_terms(terms) == 1 + 14 * 2.0**-24
    assert terms.cumsum()[-1] == 1


@pytest.mark.parametrize("count", [20, 1000])
def test_error_within_that_of_the_longest_chain(count):
    """A term goes through at most ceil(n / 16) + 4 additions of a relative 2**-24 each (Higham, section 4.2)."""
    terms = np.random.default_rng(0).normal(size=count).astype(np.float32)
    exact = sum(map(Fraction, terms.tolist()))
    bound = (-(-count // 16) + 4) * 2.0**-24 * 1.001 * float(np.abs(terms).sum())
    assert 0 < abs(float(Fraction(float(sum_terms(terms))) - exact)) <= bound


def test_special_numbers():
    infinity, nan = np.float32(np.inf), np.float32(np.nan)
    assert sum_terms(np.array([1, infinity, 2], np.float32)) == infinity
    assert sum_terms(np.array([infinity, -infinity], np.float32)).view(np.uint32) == 0x7FC00000
    assert sum_terms(np.array([-nan], np.float32)).view(np.uint32) == 0x7FC00000
    assert not np.signbit(sum_terms(np.array([-0.0], np.float32)))


def test_the_first_of_the_largest():
    terms = np.array([[1, 0, -np.inf, np.nan], [2, -0.0, -np.inf, 9], [2, 0, -np.inf, np.nan]], np.float32)
    values, places = largest_term(terms)
    assert places.tolist() == [1, 0, 0, 0]
    assert values[:3].tolist() == [2, 0, -np.inf] and np.isnan(values[3])
