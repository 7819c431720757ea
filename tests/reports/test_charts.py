"""Axes: positions and ticks derived by hand."""

import re

import pytest

from reports.charts import Axis, Line, Point, curves, roofline, roofline_position


def test_linear_axis_ticks_are_round():
    assert [value for value, _ in Axis(0, 97, 0, 100).ticks()] == [0, 20, 40, 60, 80]
    assert [text for _, text in Axis(-0.1, 0.35, 0, 100).ticks()] == ["-0.1", "0", "0.1", "0.2", "0.3"]


def test_log_axis_has_equal_lengths_for_equal_ratios():
    axis = Axis(1, 100, 0, 200, log=True)
    assert [axis.place(value) for value in (1, 10, 100)] == [0, 100, 200]
    assert [value for value, _ in axis.ticks()] == [1, 2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize("values", [[(1, 3.0)], [(1, 2.0), (2, 2.0)], [(1, 0.0), (9, 1e-9)]])
def test_curves_of_nearly_nothing_stay_inside_the_frame(values):
    svg = str(curves([Line("only", "#000", values)], x_title="epoch", y_title="loss"))
    path = re.search(r'class="line" d="([^"]*)"', svg)[1]
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    assert len(numbers) == 2 * len(values)
    assert all(0 <= number <= 640 for number in numbers)


def test_roof_bends_where_bandwidth_meets_the_peak():
    svg = str(roofline([Point(1, 1, "#000", "a<b")], peak=100, bandwidth=10, x_title="x", y_title="y"))
    points = re.search(r'class="line" d="M([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+)"', svg)
    assert points[4] == points[6], "flat after the ridge"
    assert "<title>a&lt;b</title>" in svg


def test_no_product_is_above_the_roof():
    row = {"macs": 1000, "cycles": 10, "memory_bytes": 500}  # its traffic alone takes 50 cycles at 10 bytes a cycle
    assert roofline_position(row, "", 10) == (2, 20)
    assert roofline_position(row | {"cycles": 100}, "", 10) == (2, 10)
