"""What fields may be follows the accelerator."""

from dataclasses import replace

import pytest

from hw.config import PRESETS
from hw.isa.bounds import field_range, most_slots, most_vectors, out_of_range
from hw.isa.checks import problems
from hw.isa.commands import Load, Product, Update, Walk

TINY, BOARD = PRESETS["tiny"], PRESETS["vcu1525"]
UNEVEN = replace(TINY, columns=3)
CONFIGS = {"tiny": TINY, "vcu1525": BOARD, "uneven": UNEVEN}


@pytest.mark.parametrize(
    ("config", "kind", "name", "most"),
    [
        ("tiny", Product, "slot_rows", 4),
        ("tiny", Product, "group_rounds", 16),
        ("tiny", Product, "taps_y", 8),
        ("uneven", Product, "taps_y", 1),  # windows are cut from a ring only where columns are a power of two
        ("uneven", Product, "vectors", 0),  # and weights stay only there
        ("uneven", Load, "spread", 3),
        ("vcu1525", Load, "spread", 32),
        ("vcu1525", Update, "n", 4),
    ],
)
def test_upper_ends(config, kind, name, most):
    assert field_range(CONFIGS[config], kind, name)[1] == most


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_places_are_those_of_the_buffers(config):
    words = config.weight_buffer_words, config.activation_buffer_words
    assert field_range(config, Product, "weight_shares") == (1, words[0])
    assert field_range(config, Product, "activation_base") == (0, words[1])
    assert field_range(config, Load, "share_words") == (0, max(words))
    assert most_slots(config) * config.columns <= config.result_buffer_words
    assert most_vectors(config) <= min(config.partial_sum_words, config.result_buffer_words)


def test_moments_have_no_copies():
    with_moments = replace(TINY, adamw=True)
    assert list(problems(with_moments, Update(moments=1))) == []
    assert list(problems(with_moments, Update(moments=1, copies=1))) == ["copies must be in 0..0, not 1"]
    assert list(problems(TINY, Update(moments=1))) == ["moments must be in 0..0, not 1"]


def test_all_that_is_wrong_is_told():
    wrong = Load(walk=Walk(outer=0, size_log2=4), across=2)
    assert list(out_of_range(TINY, wrong)) == [
        "walk.size_log2 must be in 0..3, not 4",
        "walk.outer must be in 1..16777215, not 0",
        "across must be in 0..1, not 2",
    ]
