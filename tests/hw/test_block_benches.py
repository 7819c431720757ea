"""Blocks of the accelerator in cocotb: benches that users may begin their own from."""

import pytest
from test_dma import Copy

from hw.config import PRESETS
from hw.dispatch import Dispatch
from hw.export import to_verilog

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("case", ["copies", "asks_for_nothing_while_halted"])
def test_readers_and_writers(bench, case):
    bench({"copy.v": to_verilog(Copy(TINY), "copy")}, "copy", "dma_bench", case)


def test_the_dispatcher(bench):
    bench({"dispatch.v": to_verilog(Dispatch(TINY), "dispatch")}, "dispatch", "dispatch_bench")
