"""Tables of joules: the usual one, and one's own."""

import doctest
from dataclasses import replace

import pytest

from dataflow.analysis import energy
from hw.errors import InputError


def test_a_table_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text('source = "our library"\nadd_32 = 1e-12\n')
    (tmp_path / "mine.json").write_text('{"dram_64": 1e-9}')
    table = energy.read_table(tmp_path / "mine.toml")
    assert (table.source, table.add_32, table.multiply_32) == ("our library", 1e-12, 3.7e-12)
    assert energy.read_table(tmp_path / "mine.json") == replace(energy.HOROWITZ, source="mine.json", dram_64=1e-9)
    for text, message in (
        ("volts = 1", "unknown field 'volts'; allowed: add_32, dram_64, "),
        ("add_32 = -1", "add_32 must be joules, above 0 and below 1, not -1"),
        *(
            (f"add_32 = {value}", "add_32 must be joules, above 0 and below 1, not ")
            for value in ("true", "'x'", "[1]", "0", "1", "nan", "inf")
        ),
        ("source = 3", "source must be text, not 3"),
    ):
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(InputError, match=message):
            energy.read_table(tmp_path / "mine.toml")


def test_the_table_holds_at_its_own_sizes():
    assert doctest.testmod(energy).failed == 0
