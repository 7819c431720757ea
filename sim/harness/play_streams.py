"""The cocotb test that feeds and empties the streams of a block as a file says, and writes down what passed."""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, gather, with_timeout

from sim.kit import PERIOD, StreamChecker, StreamSink, StreamSource, at_random, reset

PLAN, TRAFFIC = "plan.json", "traffic.json"
IDLE_CYCLES = 20
"""After the last word that is due: time for words that nobody asked for."""


@cocotb.test()
async def play_streams(dut: Any) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
    """The phases of ``plan.json``, see `sim.rtl.streams`; ``traffic.json`` gets the words of each stream and their cycles."""
    plan = json.loads(Path(PLAN).read_text())
    phases, stall, seed = plan["phases"], plan["stall"], plan["seed"]
    sources, sinks = (sorted({name for phase in phases for name in phase[kind]}) for kind in ("sources", "sinks"))
    pauses = {name: at_random(stall, seed=seed + number) for number, name in enumerate((*sources, *sinks))}
    feed = {name: StreamSource(dut, name, pause=pauses[name]) for name in sources}
    take = {name: StreamSink(dut, name, pause=pauses[name]) for name in sinks}
    watch = {name: StreamChecker(dut, name) for name in pauses}
    await reset(dut)
    traffic = []
    for phase in phases:
        before = {name: watch[name].passed for name in watch}
        for name, value in phase["inputs"].items():
            getattr(dut, name).value = value
        fed = [feed[name].start(words) for name, words in phase["sources"].items()]
        due = [take[name].wait(before[name] + count) for name, count in phase["sinks"].items()]
        words = sum(map(len, phase["sources"].values())) + sum(phase["sinks"].values())
        limit = int(1000 + 20 * words / (1 - stall))
        await with_timeout(gather(*fed, *due), PERIOD * limit, "step")
        await ClockCycles(dut.clk, IDLE_CYCLES)
        passed = phase["sources"] | {name: take[name].words[before[name] :] for name in phase["sinks"]}
        assert {name: len(passed[name]) for name in phase["sinks"]} == phase["sinks"], "words that nobody asked for"
        cycles = {name: watch[name].cycles[before[name] :] for name in passed}
        traffic.append({name: {"words": passed[name], "cycles": cycles[name]} for name in passed})
    Path(TRAFFIC).write_text(json.dumps(traffic))
