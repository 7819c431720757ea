"""A report's cycles are those of the step's own commands on the machine."""

from dataclasses import replace
from itertools import pairwise

import pytest

from dataflow import zoo
from dataflow.analysis.bounds import bounds
from dataflow.analysis.exact import RATES
from dataflow.analysis.report import describe, run_both
from dataflow.compile.assemble import assemble
from dataflow.ir.program import Stage
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.known import known
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Flatten, Linear, Network, Relu
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import Halt, Load, Pass, Source, Store, Sync, Walk
from hw.ratio import Ratio

TINY = PRESETS["tiny"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
GIVEN = {"sparse_stages": BOTH, "ratio": Ratio(2, 8), "batch": 3}


def test_cycles_and_counters_are_those_of_both_programs():
    network = zoo.load("mlp")
    sparse, dense = run_both(network, TINY, **GIVEN)
    made = assemble(network, lower(network, TINY, **GIVEN), TINY, RATES)
    executed = [execute(TINY, commands, Memory.of(TINY)) for commands in (made.forward, made.backward)]
    result = describe(network, sparse, dense, method="bdwp")
    assert result["exact"] is True
    assert "estimated" not in result
    assert result["cycles"]["step"] == sum(one.cycles for one in executed)
    for name, value in result["counters"].items():
        assert value == sum(one.counters[name] for one in executed), name
    assert [len(one.moments) for one in executed] == [len(origins) for origins in made.origins]
    assert result["memory_bytes"]["step"] == 8 * (result["counters"]["read_beats"] + result["counters"]["write_beats"])
    assert max(bounds(sparse.program, TINY).values()) <= result["cycles"]["step"]


def test_every_cycle_is_some_operations():
    sparse, _ = run_both(zoo.load("mlp"), TINY, **GIVEN)
    spans = sparse.result.timeline.spans
    assert spans[0].start == 0
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert spans[-1].end == sparse.result.cycles
    layers = {span.layer for span in spans if span.cause == "compute"}
    assert layers == {"fc1", "fc2", "fc3"}
    assert sum(sparse.result.timeline.by_cause().values()) == sparse.result.cycles


@pytest.mark.parametrize(("rate", "interval"), [(0, 1), (3.2e9, 1), (0.8e9, 4), (0.7e9, 4)])
def test_the_memory_is_the_configurations(rate, interval):
    """16 bytes a cycle at 200 MHz are the port's most, a beat of 8 each way; between whole cycles the faster one counts."""
    config = replace(TINY, dram_channel_bytes_per_second=rate, dram_latency_cycles=33)
    assert Memory.of(config) == Memory(33, interval)
    assert Memory.of(config, 5, 2) == Memory(5, 2)


def test_what_cannot_be_built_has_no_report():
    """As `nmtrain export` refuses it."""
    network = Network(
        name="odd",
        input_shape=(4, 4),
        layers=(
            Flatten(name="flat", inputs=(INPUT,)),
            Linear(name="fc1", inputs=("flat",), out_features=8),
            Relu(name="relu", inputs=("fc1",)),
            Linear(name="fc2", inputs=("relu",), out_features=4),
        ),
    )
    with pytest.raises(InputError, match="rows must be a multiple of vpu_lanes in the whole accelerator, not 3 and 4"):
        run_both(network, replace(TINY, rows=3), **GIVEN)
    for field, least in (("output_buffer_bytes", 8 * 4 * 4), ("w2e_buffer_bytes", 320), ("n2s_buffer_bytes", 256)):
        with pytest.raises(InputError, match=f"{field} of tiny must be at least {least}, .*, not {least - 1}$"):
            run_both(network, replace(TINY, **{field: least - 1}), **GIVEN)
        assert run_both(network, replace(TINY, **{field: least}), **GIVEN)[0].result.cycles > 0


def test_what_has_been_executed_is_read_again(tmp_path, monkeypatch):
    """Of equal commands on an equal accelerator with an equal memory; of no others, and of no other machine."""
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    commands = [Load(source=Source.ELEMENTS, walk=Walk(boundary=4, size_log2=1)), Pass(), Store(walk=Walk(boundary=4)), Halt()]
    first = known(TINY, commands, Memory(3, 1))
    assert first == execute(TINY, commands, Memory(3, 1))
    monkeypatch.setattr("dataflow.machine.known.execute", lambda *_: pytest.fail("executed again"))
    again = known(replace(TINY, name="other"), commands, Memory(3, 1))
    assert (again, again.moments, again.stepped) == (first, first.moments, first.stepped)
    for other in ((TINY, commands, Memory(4, 1)), (replace(TINY, axi_fifo_beats=65), commands, Memory(3, 1))):
        with pytest.raises(pytest.fail.Exception):
            known(*other)
    with pytest.raises(pytest.fail.Exception):
        known(TINY, [*commands[:-1], Sync(), Halt()], Memory(3, 1))
