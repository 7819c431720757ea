"""Training steps of random networks on the RTL: bytes against the trainer, memory and cycles against both executors."""

import pytest

from hw.isa.registers import ErrorCode
from sim.steps.assembled import step_in_numpy
from sim.stress.random_steps import CONFIGS, MORE_CONFIGS, draw, random_step


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_train(seed):
    step = random_step(seed)
    assert step.different == 0
    for program in step.programs:
        assert program.outcome.error is ErrorCode.NONE
        assert program.counted == program.predicted


@pytest.mark.parametrize("config", [*CONFIGS, *MORE_CONFIGS], ids=lambda config: config.name)
def test_random_networks_train_by_their_commands(config):
    """Without the RTL, on each configuration; of seed 3111 the rows of a layer norm are no whole words of lanes."""
    for seed in (*range(100, 108), 3111):
        one = draw(seed, config)
        rows = step_in_numpy(one.config, one.model, one.optimiser, one.images, one.labels, 0.05, one.dataflows)
        assert not [row for row in rows if row["bytes_different"]], seed
