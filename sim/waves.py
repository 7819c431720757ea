"""Timing diagrams of what a simulation did: samples of signals, cycle by cycle, as WaveJSON and as SVG."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import wavedrom
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A block, what it is given, and what of it is shown.

    Parameters
    ----------
    component : wiring.Component
        The block.
    cycles : int
        How long it is watched.
    words : mapping of str to sequence of int
        What input streams are offered, one word after the other.
    pauses : mapping of str to iterable of int
        Cycles in which an input stream offers nothing new, or an output stream takes nothing.
    inputs : mapping of str to sequence of int
        Values of other inputs in the first cycles; the last one stays.
    shown : mapping of str to callable or None
        Signals, by the path of their member with dots, from top to bottom, and how a value is written. None: as a line.
        A stream's payload is written where it is valid.
    """

    component: wiring.Component
    cycles: int
    words: Mapping[str, Sequence[int]] = field(default_factory=dict)
    pauses: Mapping[str, Iterable[int]] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    shown: Mapping[str, Callable[[int], str] | None]


def record(scene: Scene) -> dict[str, list[int | None]]:
    """Simulate a scene; the value of each shown signal in each cycle, None for the payload of a stream without a word."""
    component = scene.component
    signals = {name: _signal(component, name) for name in scene.shown}
    valids = {name: _signal(component, f"{name.removesuffix('.payload')}.valid") for name in signals if ".payload" in name}
    taken: dict[str, list[int | None]] = {name: [] for name in signals}
    members = component.signature.members.items()
    inputs = set(scene.words)
    outputs = {name for name, member in members if member.flow == wiring.Out and hasattr(getattr(component, name), "ready")}

    async def bench(ctx: Any) -> None:  # noqa: ANN401 (Amaranth names no type for it)
        left = {name: list(words) for name, words in scene.words.items()}
        for cycle in range(scene.cycles):
            for name, values in scene.inputs.items():
                ctx.set(_signal(component, name), values[min(cycle, len(values) - 1)])
            for name in inputs:
                port, offered = getattr(component, name), bool(left[name]) and cycle not in scene.pauses.get(name, ())
                ctx.set(port.valid, offered)
                ctx.set(Value.cast(port.payload), left[name][0] if offered else 0)
            for name in outputs:
                ctx.set(getattr(component, name).ready, cycle not in scene.pauses.get(name, ()))
            passing = [name for name in inputs if ctx.get(getattr(component, name).valid & getattr(component, name).ready)]
            for name, signal in signals.items():
                known = name not in valids or ctx.get(valids[name])
                taken[name].append(ctx.get(signal) if known else None)
            await ctx.tick()
            for name in passing:
                left[name].pop(0)

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return taken


def wave_json(scene: Scene) -> dict[str, Any]:
    """The scene as WaveJSON."""
    rows: list[dict[str, Any]] = [{"name": "clk", "wave": "p" + "." * (scene.cycles - 1)}]
    for name, values in record(scene).items():
        write = scene.shown[name]
        marks, data, before = "", [], object()
        for value in values:
            if value == before:
                marks += "."
            elif value is None or write is None:
                marks += "x" if value is None else str(value)
            else:
                marks += "="
                data.append(write(value))
            before = value
        rows.append({"name": name, "wave": marks, "data": data})
    return {"signal": rows, "config": {"hscale": 2}, "head": {"tick": 0}}


def draw(scene: Scene) -> str:
    """The scene as SVG text."""
    return wavedrom.render(json.dumps(wave_json(scene))).tostring() + "\n"


def _signal(component: wiring.Component, path: str) -> Value:
    """The port at a path such as ``i.payload``."""
    found: Any = component
    for name in path.split("."):
        found = getattr(found, name)
    return Value.cast(found)
