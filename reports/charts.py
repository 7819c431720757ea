"""Line and scatter charts as SVG, with axes that people would have chosen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from reports.html import fill
from reports.units import si

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 16, 54


@dataclass(frozen=True)
class Axis:
    """From values to positions, linear or logarithmic.

    Parameters
    ----------
    low, high : float
        Values at both ends.
    start, end : float
        Positions of both ends.
    log : bool
        Whether equal ratios have equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """The position of `value`, to a tenth."""
        low, high, at = (log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Round values inside, with their text."""
        if self.log:
            for exponent in range(floor(log10(self.low)), ceil(log10(self.high)) + 1):
                for digit in (1, 2, 5) if self.high / self.low < 300 else (1,):
                    value = digit * 10.0**exponent
                    if self.low <= value <= self.high:
                        yield value, si(value)
            return
        step = _round_up((self.high - self.low) / 6)
        for index in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1):
            yield index * step, f"{index * step:.6g}"


@dataclass(frozen=True)
class Point:
    """A mark: where, in which colour, what a pointer reads; `hollow` marks are the ones compared with."""

    x: float
    y: float
    colour: str
    text: str
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A curve through (x, y)."""

    name: str
    colour: str
    values: Sequence[tuple[float, float]]
    dashed: bool = False


def roofline_position(row: Mapping[str, Any], prefix: str, bytes_per_cycle: float) -> tuple[float, float]:
    """MACs per byte and MACs per cycle of a product, which lasts at least as long as its own traffic.

    Part of that traffic may run while the array still works for a neighbour; counting the array's cycles alone would put
    the product above the roof.
    """
    macs, cycles, size = (row[f"{prefix}{key}"] for key in ("macs", "cycles", "memory_bytes"))
    return macs / size, macs / max(cycles, size / bytes_per_cycle)


def roofline(points: Sequence[Point], *, peak: float, bandwidth: float, x_title: str, y_title: str) -> Markup:
    """Marks under the roof ``min(peak, bandwidth * x)``, both axes logarithmic."""
    ridge = peak / bandwidth
    low = min([ridge, *(point.x for point in points)]) / 1.6
    high = max([ridge, *(point.x for point in points)]) * 1.6
    floor_ = min([peak, *(point.y for point in points)]) / 1.5
    x = Axis(low, high, LEFT, WIDTH - RIGHT, log=True)
    y = Axis(floor_, peak * 1.35, HEIGHT - BOTTOM, TOP, log=True)
    start = max(low, floor_ / bandwidth)
    roof = Line("roof", "", [(start, min(peak, bandwidth * start)), (max(ridge, start), peak), (high, peak)])
    return _draw([roof], points, x, y, x_title=x_title, y_title=y_title, kind="roofline")


def curves(lines: Sequence[Line], points: Sequence[Point] = (), *, x_title: str, y_title: str, log_x: bool = False) -> Markup:
    """Lines over a common axis, linear unless `log_x`, the vertical one from the least to the greatest value, and marks."""
    xs = [x for line in lines for x, _ in line.values]
    ys = [y for line in lines for _, y in line.values]
    span = (max(ys) - min(ys)) or 1
    x = Axis(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, LEFT, WIDTH - RIGHT, log=log_x)
    y = Axis(min(ys) - 0.05 * span, max(ys) + 0.05 * span, HEIGHT - BOTTOM, TOP)
    return _draw(lines, points, x, y, x_title=x_title, y_title=y_title, kind="curves")


def _draw(lines: Sequence[Line], points: Sequence[Point], x: Axis, y: Axis, *, x_title: str, y_title: str, kind: str) -> Markup:
    paths = [
        (line, " ".join(f"{'L' if index else 'M'}{x.place(a)} {y.place(b)}" for index, (a, b) in enumerate(line.values)))
        for line in lines
    ]
    return fill(
        "chart.html",
        kind=kind,
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        x_ticks=[(x.place(value), text) for value, text in x.ticks()],
        y_ticks=[(y.place(value), text) for value, text in y.ticks()],
        paths=paths,
        points=[(x.place(point.x), y.place(point.y), point) for point in points],
        x_title=x_title,
        y_title=y_title,
        named=[line for line in lines if line.colour],
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    scale = 10.0 ** floor(log10(value))
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= value * (1 - 1e-9))
