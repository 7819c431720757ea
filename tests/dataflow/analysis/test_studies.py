"""What a study goes over, and where memory becomes the limit: by hand, with steps that are not run."""

from dataclasses import replace

import pytest

from dataflow import zoo
from dataflow.analysis import studies
from hw.config import PRESETS
from hw.ratio import Ratio

TINY = PRESETS["tiny"]


@pytest.fixture
def points(monkeypatch):
    """The accelerators and batches of a study's steps."""
    seen = []
    monkeypatch.setattr(studies, "_point", lambda network, machine, ratio, batch: seen.append((machine, batch)) or {})
    return seen


@pytest.mark.parametrize(
    "bits, clock, channels",
    [
        (64, 200e6, {4.8e9: 2, 9.6e9: 4}),  # 3.2 GB/s a port: 8 bytes each way
        (512, 300e6, {4.8e9: 1, 9.6e9: 1, 19.2e9: 1, 38.4e9: 1, 76.8e9: 2}),  # 38.4 GB/s
        (512, 200e6, {4.8e9: 1, 9.6e9: 1, 19.2e9: 1, 38.4e9: 2, 76.8e9: 4}),  # 25.6 GB/s
        (512, 1200e6, {4.8e9: 1, 9.6e9: 1, 19.2e9: 1, 38.4e9: 1, 76.8e9: 1}),
    ],
)
def test_bandwidths_double_from_four_point_eight_up_to_what_four_ports_carry(points, bits, clock, channels):
    config = replace(TINY, axi_data_bits=bits, clock_hz=clock)
    rows = list(studies.bandwidth(zoo.load("mlp"), config, ratio=Ratio(2, 8), batch=3))
    assert [row["bytes_per_second"] for row in rows] == list(channels)
    found = [(machine.dram_channels, machine.dram_channel_bytes_per_second, batch) for machine, batch in points]
    assert found == [(count, rate / count, 3) for rate, count in channels.items()]


def test_batches_are_eight_times_as_many_each(points):
    rows = list(studies.batches(zoo.load("mlp"), TINY, ratio=Ratio(2, 8)))
    assert [row["batch"] for row in rows] == [batch for _, batch in points] == [1, 8, 64, 512]
    assert all(machine == TINY for machine, _ in points)


def test_memory_is_the_limit_below_the_point_where_it_is_busy_as_long():
    """Twice as long at 4 and half as long at 16: two thirds of the way, on a logarithmic axis, it is as long."""

    def rows(*shares):
        return [
            {"rate": rate, "memory_share": share, "array_share": 1.0} for rate, share in zip((1, 4, 16), shares, strict=True)
        ]

    assert studies.memory_bound_below(rows(3, 2, 0.5), over="rate") == pytest.approx(4 * 4 ** (2 / 3))
    assert studies.memory_bound_below(rows(3, 2, 1), over="rate") == pytest.approx(16)
    assert studies.memory_bound_below(rows(1, 0.5, 0.25), over="rate") is None
    assert studies.memory_bound_below(rows(4, 3, 2), over="rate") is None
    dense = [
        {"bytes_per_second": rate, "dense_memory_share": share, "dense_array_share": 2} for rate, share in ((1, 6), (2, 0))
    ]
    assert studies.memory_bound_below(dense, "dense_") == pytest.approx(2 ** (2 / 3))
