"""Whole training steps: the machine's cycles and counters are the RTL's."""

from functools import partial

import numpy as np
import pytest

from dataflow import zoo
from dataflow.machine.executor import execute
from dataflow.machine.units import array, dispatch, port, reader, vector
from dataflow.machine.units.port import Memory
from hw import array_unit, feed, results, vector_unit
from hw import dispatch as hw_dispatch
from hw.commands import Halt, Load, Walk
from hw.config import PRESETS
from hw.dma import bursts
from hw.dma import port as hw_port
from hw.dma import reader as hw_reader
from hw.encoding import decode
from hw.ratio import Ratio
from sim import sat
from sim.whole_step import step_on_rtl
from training import methods
from training.backend import ExactBackend
from training.data import load_data
from training.model import Model
from training.optimiser import Sgd

TINY = PRESETS["tiny"]
PAGE = 4096


def compared(found, memory, config, image, programs):
    """Run programs on the RTL and note what the machine says of each."""
    outcomes = sat.run(
        config, image, programs, latency_cycles=memory.latency_cycles, beat_interval_cycles=memory.interval_cycles
    )
    (program,), (outcome,) = programs, outcomes
    execution = execute(config, decode(program), memory, -(-len(image) // PAGE) * PAGE)
    counters = {name: outcome.registers[name] for name in execution.counters}
    found.append(((execution.cycles, execution.counters), (outcome.registers["cycles"], counters)))
    return outcomes


@pytest.mark.parametrize(
    ("name", "method", "ratio", "batch", "memory"),
    [
        ("mlp", "bdwp", Ratio(2, 8), 8, Memory(20, 1)),
        ("mlp", "dense", Ratio(1, 1), 1, Memory(60, 1)),
        ("cnn", "bdwp", Ratio(2, 8), 2, Memory(5, 2)),
    ],
)
def test_a_step_takes_the_rtls_cycles(name, method, ratio, batch, memory):
    model = Model(zoo.load(name), ExactBackend(), np.random.default_rng(0), method=methods.load(method), ratio=ratio)
    data, found = load_data("digits"), []
    run = partial(compared, found, memory)
    step_on_rtl(TINY, model, Sgd(), data.train_images[:batch], data.train_labels[:batch], 0.05, run)
    assert len(found) == 2
    for machine, rtl in found:
        assert machine == rtl


def test_the_sizes_of_fifos_are_the_rtls():
    assert reader.REQUEST_WORDS == hw_reader.REQUEST_FIFO_WORDS
    assert reader.OUTPUT_WORDS == hw_reader.OUTPUT_FIFO_WORDS
    assert reader.PAGE_BYTES == bursts.PAGE_BYTES
    assert port.OUTSTANDING_BURSTS == hw_port.OUTSTANDING_BURSTS
    assert (array.FEED_WORDS, array.PART_WORDS) == (feed.FIFO_WORDS, feed.PART_WORDS)
    assert (array.TILE_WORDS, array.HALVES) == (array_unit.TILE_WORDS, results.HALVES)
    assert vector.SINK_WORDS == vector_unit.FIFO_WORDS
    assert (dispatch.QUEUED, dispatch.QUIET_CYCLES) == (hw_dispatch.QUEUED, hw_dispatch.QUIET_CYCLES)


def test_a_program_that_cannot_end_is_told():
    with pytest.raises(RuntimeError, match=r"^the program does not end: nothing moves after cycle [0-9]+$"):
        execute(TINY, [Load(walk=Walk(), shares=1), Load(walk=Walk(), shares=1), Halt()], Memory())
