"""The first byte that the RTL has otherwise, in the words of whoever looks for the reason."""

from collections.abc import Iterable, Mapping

import numpy as np

from dataflow.compile.memory import KINDS, Tensor
from hw.formats import BINARY32, FloatFormat
from sim.steps.program import ProgramOnRtl
from training.machine.walks import Bytes


def told_apart(name: str, program: ProgramOnRtl, tensors: Mapping[str, Tensor], due: Bytes, storage: FloatFormat) -> str:
    """What differs first in a program; an empty text where nothing does.

    Parameters
    ----------
    name : str
        Of the program.
    program : ProgramOnRtl
        What it came to.
    tensors : mapping of str to Tensor
        Of the memory.
    due : array of uint8
        The memory as NumPy leaves it.
    storage : FloatFormat
        Of storage tensors.
    """
    found, first, where = program.outcome.memory[: len(due)], program.first, name
    if first is not None:  # both memories as they were when the operation had written
        due, found, where = due.copy(), found.copy(), f"{name}, command {first.command} ({first.names})"
        due[first.addresses], found[first.addresses] = first.due, first.found
        return f"{where}: {element_at(int(first.addresses[first.due != first.found][0]), tensors, due, found, storage)}"
    if len(places := np.flatnonzero(due != found)):
        return f"{where}: {element_at(int(places[0]), tensors, due, found, storage)}"
    for counter, value in program.predicted.items():
        if program.counted[counter] != value:
            return f"{name}: {counter} {program.counted[counter]:,} on the RTL, {value:,} by the machine"
    return ""


def element_at(address: int, tensors: Mapping[str, Tensor], due: Bytes, found: Bytes, storage: FloatFormat) -> str:
    """The element that a byte belongs to, and its value in both memories."""
    for tensor in tensors.values():
        if tensor.offset <= address < tensor.offset + tensor.size_bytes:
            number = (address - tensor.offset) // tensor.element_bytes
            place = tuple(map(int, np.unravel_index(number, tensor.stored_shape)))
            first = tensor.offset + number * tensor.element_bytes
            parts = slice(first, first + tensor.element_bytes)
            form = BINARY32 if KINDS[tensor.kind].wide else storage
            rtl, numpy = (", ".join(_numbers(memory[parts], form)) for memory in (found, due))
            return f"{tensor.name}{list(place)}: {rtl} on the RTL, {numpy} in NumPy"
    return f"byte {address:#x} of no tensor: {found[address]:#04x} on the RTL, {due[address]:#04x} in NumPy"


def _numbers(content: Bytes, form: FloatFormat) -> Iterable[str]:
    """Each number of an element: its bits by sign, exponent and significand."""
    size = form.width // 8
    for first in range(0, len(content), size):
        yield _number(int.from_bytes(content[first : first + size].tobytes(), "little"), form)


def _number(bits: int, form: FloatFormat) -> str:
    fraction = bits & (1 << form.mantissa_bits) - 1
    exponent = bits >> form.mantissa_bits & form.max_biased_exponent
    sign = "-" if bits >> form.width - 1 else "+"
    digits = f"{fraction:0{form.mantissa_bits}b}"
    if exponent > form.last_exponent or (form.finite and bits & (1 << form.width - 1) - 1 == form.quiet_nan):
        kind = "infinity" if not fraction else "NaN"
        return f"{bits:#0{form.width // 4 + 2}x} ({sign}{kind})"
    power = max(exponent, 1) - form.bias
    return f"{bits:#0{form.width // 4 + 2}x} ({sign}{int(exponent > 0)}.{digits} x 2^{power})"
