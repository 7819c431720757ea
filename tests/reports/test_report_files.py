"""Files beside the page: the published schema, the timeline, the energies."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

import reports
from dataflow import zoo
from dataflow.analysis.report import describe, run_both
from dataflow.analysis.timeline import Slice
from dataflow.ir.program import Stage
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio
from reports.trace import TRACKS, trace

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
SCHEMA = json.loads((Path(reports.__file__).parent / "schema/report.schema.json").read_text())


EIGHTH = Ratio(2, 8)


def both(name, stages=BOTH, ratio=EIGHTH, config="tiny"):
    network = zoo.load(name)
    return network, *run_both(network, PRESETS[config], sparse_stages=stages, ratio=ratio, batch=4)


@pytest.mark.parametrize(("name", "stages"), [("cnn", BOTH), ("mlp", frozenset()), ("vit/16", BOTH), ("resnet18/16", BOTH)])
def test_results_hold_to_the_published_schema(name, stages):
    network, sparse, dense = both(name, stages, config="small")
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
    _, step, _ = both("cnn")
    file = json.loads(json.dumps(trace(step.result.slices, clock_hz=200e6, title="cnn")))
    events = file["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert tuple(names.values()) == TRACKS
    assert len({event["pid"] for event in events}) == 1, "all stand in one process"
    places = {event["tid"]: event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"}
    assert sorted(names, key=places.get) == list(names), "tracks stand in their order"
    for tid, unit in names.items():
        slices = sorted((e["args"]["start_cycle"], e["args"]["cycles"]) for e in events if e["ph"] == "X" and e["tid"] == tid)
        assert slices, unit
        assert all(start + cycles <= after for (start, cycles), (after, _) in pairwise(slices))
        assert slices[-1][0] + slices[-1][1] <= step.result.cycles
    microseconds = [event["ts"] + event["dur"] for event in events if event["ph"] == "X"]
    assert max(microseconds) == pytest.approx(step.result.cycles / 200)


def test_timeline_shows_each_unit_as_busy_as_it_was():
    _, step, _ = both("cnn")
    spent = step.result.timeline.by_cause()
    for unit, causes in (("array", set(spent)), ("vector", {"vector"}), ("update", {"update"})):
        shown = sum(part.end - part.start for part in step.result.slices if part.unit == unit)
        assert shown == sum(spent[cause] for cause in causes)


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


def test_energy_is_counts_times_the_table():
    """64 to 64 to 64 to 10 features, batch 4, sums in the array; 4 x 4 elements with 4 slots."""
    network, step, dense = both("mlp", frozenset(), DENSE)
    result = describe(network, step, dense, method="dense")["energy"]
    parts = {(part["key"], part["what"]): part for part in result["terms"]}
    macs = 4 * (3 * (64 * 64 * 2 + 640) - 64 * 64)
    assert parts["multiply_accumulate", "multiply-accumulates: multiplications"]["count"] == macs
    joules = result["joules"]
    assert joules["multiply_accumulate"] == pytest.approx(macs * 2.0e-12)
    assert joules["memory"] == pytest.approx(step.result.memory_bytes * 162.5e-12)
    # all 4 rows take a weight of 16 bits in each step, and all 4 columns an activation; each of 16 elements passes both on
    steps = step.result.work["west_bits"] // (4 * 16)
    assert step.result.work["north_bits"] == steps * 4 * 16
    assert step.result.work["link_bits"] == steps * 16 * 32
    assert steps * 16 >= macs
    assert joules["links"] == pytest.approx(steps * 16 * 32 * 3.75e-15)
    # every sum goes into the output buffer and out again, 4 bytes each
    sums = 4 * (64 + 64 + 10) + 4 * (64 + 64) + 64 * 64 * 2 + 640
    assert step.result.work["sum_bytes"] == 8 * sums
    assert joules["output_buffer"] == pytest.approx(8 * sums * 20e-12 / 8 * 5 ** (1 / 5))
    assert joules["step"] == pytest.approx(sum(value for key, value in joules.items() if key != "step"))
    assert joules["step"] == pytest.approx(sum(part["joules"] for part in result["terms"]))
    assert result["estimated"] is True
    assert "ISSCC 2014" in result["source"]


def test_eight_bits_pay_less_than_sixteen():
    """By the bits of the significand, 4 of E4M3 beside 11: (4 / 11) ** (log(3.7 / 1.1) / log(24 / 11)) of 1.1 pJ."""
    network = zoo.load("mlp")
    narrow = replace(PRESETS["tiny"], storage="float8_e4m3")
    steps = [run_both(network, config, sparse_stages=BOTH, ratio=EIGHTH, batch=4)[0] for config in (PRESETS["tiny"], narrow)]
    found = [describe(network, step, step, method="bdwp")["energy"] for step in steps]
    macs = steps[0].macs
    assert found[1]["joules"]["multiply_accumulate"] == pytest.approx(macs * (0.2284e-12 + 0.9e-12), rel=1e-3)
    assert all(
        found[1]["joules"][key] < found[0]["joules"][key] for key in ("multiply_accumulate", "links", "buffers", "memory")
    )


def test_a_sparse_step_takes_less_energy():
    network, sparse, dense = both("resnet9/8", config="small")
    result = describe(network, sparse, dense, method="bdwp")["energy"]
    assert result["joules"]["multiply_accumulate"] < 0.8 * result["dense_joules"]["multiply_accumulate"]
    assert result["joules"]["step"] < result["dense_joules"]["step"]
