"""A schedule file: what was chosen for each product, to be read again and changed.

::

    {"schedule": 1, "network": "resnet18", "config": "vcu1525",
     "choices": [{"layer": "conv1", "stage": "forward", "dataflow": "os", "interleave": [1, 4]}, ...]}

Products that the file does not name are scheduled as usual; so is each choice that an entry leaves out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataflow.ir.stages import Dataflow, Stage
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import write_json
from hw.inputs import parse_json, read_text, shown

T = TypeVar("T")

FIELDS = ("layer", "stage", "dataflow", "interleave")


@dataclass(frozen=True)
class Choice:
    """What is pinned of a product; None where it is free."""

    dataflow: Dataflow | None = None
    interleave: tuple[int, int] | None = None


Pins = Mapping[tuple[str, Stage], Choice]


def save(path: Path, network: str, config: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the choices in `rows`, the layers of a result of `dataflow.analysis.report`."""
    choices = [
        {
            "layer": row["name"],
            "stage": row["stage"],
            "dataflow": row["dataflow"],
            "interleave": [int(part) for part in row["interleave"].split("x")],
        }
        for row in rows
    ]
    write_json(path, {"schedule": 1, "network": network, "config": config, "choices": choices})


def read(path: Path, config: AcceleratorConfig) -> dict[tuple[str, Stage], Choice]:
    """Choices by layer and stage; `InputError` names the entry and what is allowed."""
    data = parse_json(read_text(path), str(path))
    entries = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: must be an object with a list 'choices'")
    pins: dict[tuple[str, Stage], Choice] = {}
    for number, entry in enumerate(entries, 1):
        key, choice = _entry(f"{path}: choice {number}", entry, config)
        if key in pins:
            raise InputError(f"{path}: choice {number}: {key[0]}, {key[1]} stands twice")
        pins[key] = choice
    return pins


def check(pins: Pins, known: Iterable[tuple[str, Stage]]) -> None:
    """Raise `InputError` where a pin is for a product that the network does not have."""
    allowed = set(known)
    for layer, stage in pins:
        if (layer, stage) not in allowed:
            layers = ", ".join(dict.fromkeys(name for name, _ in sorted(allowed)))
            raise InputError(f"schedule: there is no product {layer!r}, {stage}; layers are {layers}")


def _entry(where: str, entry: Any, config: AcceleratorConfig) -> tuple[tuple[str, Stage], Choice]:  # noqa: ANN401 (any JSON)
    if not isinstance(entry, dict) or not isinstance(entry.get("layer"), str):
        raise InputError(f"{where}: must be an object that names a 'layer'")
    for name in entry:
        if name not in FIELDS:
            raise InputError(f"{where}: unknown field {shown(name)}; allowed: {', '.join(FIELDS)}")
    stage = _one_of(where, "stage", str(entry.get("stage")), tuple(map(str, Stage)))
    dataflow = _one_of(where, "dataflow", entry["dataflow"], tuple(map(str, Dataflow))) if "dataflow" in entry else None
    interleave = _interleave(where, entry["interleave"], config) if "interleave" in entry else None
    return (entry["layer"], Stage(stage)), Choice(Dataflow(dataflow) if dataflow else None, interleave)


def _one_of(where: str, name: str, value: T, allowed: Sequence[T]) -> T:
    if value not in allowed:
        raise InputError(f"{where}: {name} must be one of {', '.join(map(str, allowed))}, not {shown(value)}")
    return value


def _interleave(where: str, value: object, config: AcceleratorConfig) -> tuple[int, int]:
    """(rows, columns) of slots."""
    slots = config.interleave_slots
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(part) is int and part >= 1 for part in value)
        or value[0] * value[1] > slots
    ):
        raise InputError(
            f"{where}: interleave must be two numbers of at least 1 with a product of at most {slots}, not {shown(value)}"
        )
    return value[0], value[1]
