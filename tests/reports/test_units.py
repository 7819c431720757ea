"""Numbers as people read them; the examples in the docstrings hold."""

import doctest

import pytest

from reports import units


def test_examples():
    assert doctest.testmod(units).failed == 0


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (999.6, "1 k"), (1000, "1 k"), (123_456, "123 k"), (2.5e12, "2.5 T")]
)
def test_prefixes_change_where_rounding_does(value, text):
    assert units.si(value) == text
