"""SCALE-Sim topology files: one layer a line, as a convolution or as a matrix product.

::

    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
    Layer, M, N, K,

As SCALE-Sim has it: an input's size includes its padding; where strides do not fit, a last window hangs over the end; a layer
with ``DP`` in its name is depthwise, Num Filter then being those of one channel. Strides may be two columns, Stride Height and
Stride Width. Files do not say what stands between two layers: nothing is counted.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dataflow.axes import Axis, AxisConv
from dataflow.importers import Imported
from dataflow.network import INPUT, MOST_LAYERS, MOST_SIZE, Layer, Linear, Network, Shape
from dataflow.rearrange import Gap
from hw.errors import InputError
from hw.inputs import SHOWN, read_text, shown, whole

_FILTERS = ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter")
CONVOLUTION = (*_FILTERS, "Strides")
TWO_STRIDES = (*_FILTERS, "Stride Height", "Stride Width")
GEMM = ("M", "N", "K")
ALLOWED = f"'Layer, {', '.join(CONVOLUTION)}' or 'Layer, {', '.join(GEMM)}'"


def read_topology(path: Path) -> Imported:
    """The network of a topology file; each layer follows the one before, its input reshaped as it says."""
    lines = list(_lines(path))
    if not lines:
        raise InputError(f"{path}:1: no heading; allowed: {ALLOWED}")
    (number, heading), *rows = lines
    columns = _columns(path, number, heading)
    if not rows:
        raise InputError(f"{path}:{number}: no layer follows the heading")
    if len(rows) > MOST_LAYERS // 2:
        raise InputError(f"{path}: {len(rows):,} layers are too many: at most {MOST_LAYERS // 2:,}")
    layers: list[Layer] = []
    shapes: list[Shape] = []
    taken: Counter[str] = Counter()
    for number, cells in rows:
        name, values = _row(path, number, cells, columns)
        taken[name] += 1
        name = name if taken[name] == 1 else f"{name}.{taken[name]}"
        source = layers[-1].name if layers else INPUT
        shape, layer = _layer(path, number, name, values, f"{name}.gap" if layers else INPUT)
        layers += [Gap(name=f"{name}.gap", inputs=(source,), shape=shape)] if layers else []
        layers.append(layer)
        shapes.append(shape)
    extra = tuple(cell for cell in heading[len(columns) + 1 :] if cell)
    notes = tuple(f"column {cell!r} of {path.name} is not used" for cell in extra)
    return Imported(Network(name=_name(path), input_shape=shapes[0], layers=tuple(layers)), notes)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines that are not empty, as cells."""
    lines = read_text(path, encoding="utf-8-sig").splitlines()
    separator = "\t" if lines and "," not in lines[0] else ","
    rows = csv.reader(lines, delimiter=separator)
    try:
        for cells in rows:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield rows.line_num, stripped
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: not a table: {error}") from None


def _columns(path: Path, number: int, heading: list[str]) -> tuple[str, ...]:
    """Which of the two tables it is."""
    titles = [_plain(cell) for cell in heading[1:] if cell]
    for columns in (CONVOLUTION, TWO_STRIDES, GEMM):
        if titles[: len(columns)] == [_plain(column) for column in columns]:
            return columns
    raise InputError(f"{path}:{number}: heading must be {ALLOWED}, not {shown(', '.join(heading))}")


def _plain(title: str) -> str:
    """A title without what published files vary: case and plural."""
    return " ".join(word.removesuffix("s") for word in title.lower().split())


def _row(path: Path, number: int, cells: list[str], columns: tuple[str, ...]) -> tuple[str, dict[str, int]]:
    if not cells[0]:
        raise InputError(f"{path}:{number}: the layer has no name")
    if len(cells) <= len(columns):
        raise InputError(f"{path}:{number}: {cells[0]}: {len(columns)} numbers must follow the name, not {len(cells) - 1}")
    values = {}
    for column, cell in zip(columns, cells[1:], strict=False):
        try:
            values[column] = whole(cell, MOST_SIZE, least=1)
        except InputError as error:
            raise InputError(f"{path}:{number}: {cells[0][:SHOWN]}: {column} {error}") from None
    return cells[0], values


def _layer(path: Path, number: int, name: str, values: dict[str, int], source: str) -> tuple[Shape, Layer]:
    """The input's shape, and the layer."""
    if "K" in values:
        return (values["M"], values["K"]), Linear(name=name, inputs=(source,), out_features=values["N"], bias=False)
    height, width, rows, columns, channels, filters, *strides = values.values()
    axes = []
    for size, kernel, stride, axis in ((height, rows, strides[0], "Height"), (width, columns, strides[-1], "Width")):
        if kernel > size:
            raise InputError(f"{path}:{number}: {name}: Filter {axis} must be at most IFMAP {axis} {size}, not {kernel}")
        axes.append(Axis(kernel, stride, after=(kernel - size) % stride))
    groups = channels if "DP" in name else 1
    layer = AxisConv(name=name, inputs=(source,), out_channels=filters * groups, axes=tuple(axes), groups=groups)
    return (height, width, channels), layer


def _name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", path.stem) or "topology"
