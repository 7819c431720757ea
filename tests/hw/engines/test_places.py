# amaranth: UnusedElaboratable=no
"""The counter of places against NumPy's."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.engines.places import PLACE_FIELDS, PlaceCounter
from hw.isa.commands import Pass
from training.machine.vector import places


@pytest.mark.parametrize(
    "fields",
    [
        {"place": 4, "place_words": 2, "place_columns": 2, "place_step": 2, "place_rows": 2, "place_row_step": 6},
        {"place_columns": 5, "place_step": 1},
        {"place": 3},
        {"place": 0xFFFF, "place_words": 3, "place_columns": 1, "place_rows": 3, "place_row_step": 2},
    ],
)
def test_places_are_those_of_numpy(fields):
    """Under pauses; twice, the second time from the first place again."""
    step = Pass(words=40, **fields)
    counter, seen = PlaceCounter(), []
    goes = np.random.default_rng(0).random(200) < 0.6

    async def bench(ctx):
        for name in PLACE_FIELDS:
            ctx.set(counter.fields[name], getattr(step, name))
        for _ in range(2):
            ctx.set(counter.begin, 1)
            await ctx.tick()
            ctx.set(counter.begin, 0)
            given = []
            for go in goes:
                ctx.set(counter.step, int(go))
                if go and len(given) < step.words:
                    given.append(ctx.get(counter.place))
                await ctx.tick()
            ctx.set(counter.step, 0)
            seen.append(given)

    simulator = Simulator(counter)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen[0] == seen[1] == places(step).tolist()
