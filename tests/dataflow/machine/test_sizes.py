"""What the machine is told of an accelerator, against counts of registers and of beats."""

from dataclasses import replace

import pytest

from dataflow.machine.numbers import sizes
from dataflow.machine.timing import Memory
from hw.config import PRESETS


def test_words_behind_the_buffers():
    """A word takes 2 cycles out of a buffer, activations 2 more for the ring's address; from 5 lines on 1 more to turn it. The
    FIFO behind holds what is on its way, and two."""
    tiny, small = sizes(PRESETS["tiny"]), sizes(PRESETS["small"])
    assert [tiny[f"{name}_read_cycles"] for name in ("weight", "activation")] == [2, 4]
    assert [tiny[f"{name}_feed_words"] for name in ("weight", "activation")] == [4, 6]
    assert [small[f"{name}_read_cycles"] for name in ("weight", "activation")] == [3, 5]
    assert [small[f"{name}_feed_words"] for name in ("weight", "activation")] == [5, 7]


@pytest.mark.parametrize(("share", "cycles"), [(1, 1), (0.51, 1), (0.5, 2), (0.25, 4), (0.24, 4)])
def test_cycles_between_beats(share, cycles):
    """A beat of 16 bytes each way in each cycle, or in each of a whole number of cycles: never slower than was asked."""
    config = replace(PRESETS["tiny"], axi_data_bits=128, dram_channels=2)
    config = replace(config, dram_channel_bytes_per_second=share * 2 * 16 * config.clock_hz)
    assert Memory.of(config).interval_cycles == cycles
    assert Memory.of(config, interval=7).interval_cycles == 7
