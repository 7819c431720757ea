"""Training steps of random networks on the RTL: bytes against the trainer, memory and cycles against both executors."""

import pytest

from hw.isa.registers import ErrorCode
from sim.stress.random_steps import random_step


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_train(seed):
    step = random_step(seed)
    assert step.different == 0
    for program in step.programs:
        assert program.outcome.error is ErrorCode.NONE
        assert program.counted == program.predicted
