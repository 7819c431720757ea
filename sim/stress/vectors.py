"""Floating-point test vectors as text, in the format of Berkeley TestFloat."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.formats import FloatFormat
from hw.inputs import read_text


@dataclass(frozen=True)
class Vectors:
    """Operands and the results that they should give.

    Parameters
    ----------
    operands : array of shape (vectors, operands), uint32
        Bits of the operands.
    results : array of shape (vectors,), uint32
        Bits of the expected results.
    lines : array of shape (vectors,), int64
        Line of the file that each came from, from 1.
    """

    operands: NDArray[np.uint32]
    results: NDArray[np.uint32]
    lines: NDArray[np.int64]


def read_vectors(path: Path, operands: int, source: FloatFormat, target: FloatFormat) -> Vectors:
    """Read a vector file: one vector a line, hexadecimal numbers between white space.

    Each line has the operands, the result and, if it likes, exception flags, which are read past. Blank lines too.

    Parameters
    ----------
    path : Path
        The file.
    operands : int
        Operands on each line.
    source, target : FloatFormat
        Format of the operands and of the result.

    Raises
    ------
    InputError
        With file and line where a line is something else, and where there is no vector at all.
    """
    lines = read_text(path, encoding="ascii").splitlines()
    widths = [source.width] * operands + [target.width]
    pattern = re.compile(r"\s*" + r"\s+".join([r"([0-9a-fA-F]{1,16})"] * len(widths)) + r"(?:\s+[0-9a-fA-F]{1,16})?\s*")
    matches = [pattern.fullmatch(line) for line in lines]
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not numbers:
        raise InputError(f"{path}: no vectors; allowed: {operands} operands and a result on each line, hexadecimal")
    for number in numbers:
        if matches[number - 1] is None:
            allowed = f"{operands} operand{'s' * (operands > 1)}, a result and perhaps flags, hexadecimal"
            raise InputError(f"{path}:{number}: {lines[number - 1].strip()[:60]!r} is not a vector; allowed: {allowed}")
    fields = zip(*(match.groups() for match in matches if match), strict=True)
    columns = [_column(path, numbers, column, width) for column, width in zip(fields, widths, strict=True)]
    return Vectors(np.stack(columns[:-1], axis=1), columns[-1], np.array(numbers))


def _column(path: Path, numbers: list[int], column: Iterable[str], width: int) -> NDArray[np.uint32]:
    """One column as numbers of `width` bits."""
    values = [int(digits, 16) for digits in column]
    if max(values) >> width:
        number, value = next((number, value) for number, value in zip(numbers, values, strict=True) if value >> width)
        raise InputError(
            f"{path}:{number}: {value:X} has more than {width} bits; allowed: at most {width // 4} hexadecimal digits"
        )
    return np.array(values, dtype=np.uint32)


def differing(actual: NDArray[np.uint32], expected: NDArray[np.uint32], form: FloatFormat) -> NDArray[np.intp]:
    """Where two arrays of stored numbers differ, if every NaN equals every other."""
    magnitude = (1 << (form.width - 1)) - 1
    both_nan = ((actual & magnitude) > form.largest) & ((expected & magnitude) > form.largest)
    return np.flatnonzero((actual != expected) & ~both_nan)
