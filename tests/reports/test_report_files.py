"""Files beside the page: the published schema, the timeline, the energies."""

import doctest
import json
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

import reports
from dataflow import energy, zoo
from dataflow.estimate import describe, run_both, run_step
from dataflow.program import Stage
from dataflow.timeline import Slice
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio
from reports.trace import TRACKS, trace

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
SCHEMA = json.loads((Path(reports.__file__).parent / "schema/report.schema.json").read_text())


EIGHTH = Ratio(2, 8)


def both(name, stages=BOTH, ratio=EIGHTH, config="tiny"):
    network = zoo.load(name)
    return network, *run_both(network, PRESETS[config], sparse_stages=stages, ratio=ratio, batch=4)


def modelled(name, stages=BOTH, ratio=EIGHTH, config="tiny"):
    """On the step model, whatever the machine can run."""
    network = zoo.load(name)
    return network, *(run_step(network, PRESETS[config], *kind, 4) for kind in ((stages, ratio), (frozenset(), DENSE)))


@pytest.mark.parametrize(("name", "stages"), [("cnn", BOTH), ("mlp", frozenset()), ("vit", BOTH), ("resnet18", BOTH)])
@pytest.mark.parametrize("made", ["machine", "model"])
def test_results_hold_to_the_published_schema(name, stages, made):
    if made == "machine" and name in ("vit", "resnet18"):
        name += "/16"
    network, sparse, dense = (both if made == "machine" else modelled)(name, stages, config="vcu1525")
    result = json.loads(json.dumps(describe(network, sparse, dense, method="bdwp")))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(result, SCHEMA)


def test_the_schema_describes_every_key_and_refuses_others():
    network, sparse, dense = both("mlp")
    result = describe(network, sparse, dense, method="bdwp")
    assert all(SCHEMA["properties"][key]["description"] for key in result)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result | {"more": 1}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in result.items() if key != "cycles"}, SCHEMA)


def test_timeline_has_a_track_a_unit_and_slices_that_follow_each_other():
    _, step, _ = modelled("cnn")
    file = json.loads(json.dumps(trace(step.result.slices, clock_hz=200e6, title="cnn")))
    events = file["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert tuple(names.values()) == TRACKS
    for tid, unit in names.items():
        slices = sorted((e["args"]["start_cycle"], e["args"]["cycles"]) for e in events if e["ph"] == "X" and e["tid"] == tid)
        assert slices, unit
        assert all(start + cycles <= after for (start, cycles), (after, _) in pairwise(slices))
        assert slices[-1][0] + slices[-1][1] <= step.result.cycles
    microseconds = [event["ts"] + event["dur"] for event in events if event["ph"] == "X"]
    assert max(microseconds) == pytest.approx(step.result.cycles / 200)


def test_timeline_shows_each_unit_as_busy_as_it_was():
    _, step, _ = modelled("cnn")
    for unit in ("memory",):
        shown = sum(part.end - part.start for part in step.result.slices if part.unit == unit)
        assert shown == step.result.busy[unit]
    computed = sum(part.end - part.start for part in step.result.slices if part.unit == "array" and part.what == "compute")
    assert computed == step.result.busy["array"]


def test_slices_in_which_the_array_waits_say_so():
    slices = [
        Slice("array", 0, 5, "fill_drain", "conv", Stage.INPUT_GRADIENT),
        Slice("array", 5, 9, "compute", "conv", Stage.INPUT_GRADIENT),
        Slice("vector", 2, 4, "pass", "norm", Stage.FORWARD),
    ]
    events = [event for event in trace(slices, clock_hz=1e6, title="x")["traceEvents"] if event["ph"] == "X"]
    assert [event["name"] for event in events] == ["fill drain: conv, input gradient", "conv, input gradient", "norm, forward"]
    assert [(event["ts"], event["dur"]) for event in events] == [(0, 5), (5, 4), (2, 2)]
    assert min(event["tid"] for event in events) == 1, "viewers keep 0 for the idle thread"


def test_energy_is_that_of_the_table():
    network, step, dense = modelled("mlp", frozenset(), DENSE)
    joules = energy.energy(step.config, step.program, step.jobs, step.result.memory_bytes)
    macs = 4 * (3 * (64 * 64 * 2 + 640) - 64 * 64)
    assert joules["multiply_accumulate"] == pytest.approx(macs * 2.0e-12)
    assert joules["memory"] == pytest.approx(step.result.memory_bytes * 162.5e-12)
    assert joules["update"] == pytest.approx(network.parameters * 13.8e-12)
    # 8 bytes of weights and 8 of activations enter a 4 x 4 array in each step, from 64 KiB: between 32 KiB and 1 MiB,
    # 32 times as large, the table's energy grows fivefold
    assert joules["buffers"] == pytest.approx(step.result.busy["array"] * 2 * 20e-12 * 5 ** (1 / 5))
    assert joules["step"] == pytest.approx(sum(value for key, value in joules.items() if key != "step"))
    result = describe(network, step, dense, method="dense")["energy"]
    assert result["estimated"] is True
    assert "ISSCC 2014" in result["source"]


def test_the_table_holds_at_its_own_sizes():
    assert doctest.testmod(energy).failed == 0


def test_a_sparse_step_takes_less_energy():
    network, sparse, dense = modelled("resnet18", config="vcu1525")
    result = describe(network, sparse, dense, method="bdwp")["energy"]
    assert result["joules"]["multiply_accumulate"] < 0.55 * result["dense_joules"]["multiply_accumulate"]
    assert result["joules"]["step"] < result["dense_joules"]["step"]
