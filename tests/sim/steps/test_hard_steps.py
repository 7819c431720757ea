"""Steps that go wrong, or nearly: what is not finite, what vanishes, a memory at random, resets, programs in a row."""

import numpy as np
import pytest

from dataflow.compile.loss import SHARE, TARGET
from dataflow.network import INPUT, Linear, Network, Relu
from hw.config import PRESETS
from hw.isa.encoding import encode
from hw.isa.registers import ErrorCode
from hw.ratio import Ratio
from sim.rtl import sat
from sim.rtl.image import write
from sim.rtl.sat import QUIET, Disturbance
from sim.steps.assembled import assemble_step, initial_memory
from sim.steps.whole_step import StepsOnRtl
from training.backend import ExactBackend
from training.loss import share, targets
from training.loss_scale import LossScale
from training.machine.executor import Executor
from training.model import Model
from training.optimiser import Sgd

TINY, BATCH, FEATURES, CLASSES = PRESETS["tiny"], 4, 16, 5
NETWORK = Network(
    name="small",
    input_shape=(FEATURES,),
    layers=(
        Linear(name="fc1", inputs=(INPUT,), out_features=16, prune=True),
        Relu(name="relu", inputs=("fc1",)),
        Linear(name="fc2", inputs=("relu",), out_features=CLASSES),
    ),
)


def model_of():
    return Model(NETWORK, ExactBackend(), np.random.default_rng(0), ratio=Ratio(2, 8))


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((BATCH, FEATURES)).astype(np.float16), rng.integers(0, CLASSES, BATCH)


def state_of(model, optimiser):
    found = {name: values.copy() for name, values in model.state().items()}
    return found | {f"velocity of {name}": values.copy() for name, values in optimiser.state.items()}


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_data_that_is_not_finite_is_skipped_and_the_next_batch_goes_on(wrong):
    model, optimiser = model_of(), Sgd()
    with StepsOnRtl(TINY, model, optimiser, BATCH) as steps:
        assert steps.step(*batch(0), 0.05).agrees
        before, scale = state_of(model, optimiser), optimiser.loss_scale.scale
        images, labels = batch(1)
        images[1, 3] = wrong
        skipped = steps.step(images, labels, 0.05)
        assert (skipped.different, steps.difference) == (0, "")
        assert skipped.agrees and skipped.programs[1].outcome.overflow
        after = state_of(model, optimiser)
        assert all(np.array_equal(after[name], values) for name, values in before.items())
        assert optimiser.loss_scale.scale == scale / 2
        following = steps.step(*batch(2), 0.05)
        assert following.agrees and not following.programs[1].outcome.overflow


def test_a_step_in_which_every_gradient_underflows():
    """Weights decay, and nothing else moves them."""
    model, optimiser = model_of(), Sgd(loss_scale=LossScale(2.0**-24), momentum=0.0, weight_decay=0.5)
    before = {name: parameter.value.copy() for name, parameter in model.parameters()}
    with StepsOnRtl(TINY, model, optimiser, BATCH) as steps:
        done = steps.step(*batch(), 0.25)
    assert done.agrees and not done.programs[1].outcome.overflow
    for name, parameter in model.parameters():
        assert not parameter.gradient.any()
        np.testing.assert_array_equal(parameter.value, before[name] - np.float32(0.25) * (np.float32(0.5) * before[name]))


@pytest.fixture(scope="module")
def two_steps():
    """A memory, the programs of two steps, each with its own loss, and the memory that NumPy leaves."""
    model, optimiser = model_of(), Sgd()
    assembled = [assemble_step(TINY, model, optimiser, 0.05, BATCH, loss=True, exchanged=behind) for behind in (False, True)]
    images, labels = batch()
    memory = initial_memory(TINY, assembled[0], model, optimiser, images)
    written = {TARGET: targets(labels, CLASSES), SHARE: np.full(CLASSES, share(BATCH, optimiser.loss_scale.scale))}
    for name, values in written.items():
        write(memory, assembled[0].memory[name], values, TINY.storage_format)
    machine = Executor(TINY, memory)
    for one in assembled:
        machine.run(one.step)
    assert not machine.overflow
    return memory, [encode(one.step) for one in assembled], machine.memory


def test_two_programs_one_behind_the_other(two_steps):
    memory, programs, due = two_steps
    outcomes = sat.run(TINY, memory, programs)
    assert [outcome.error for outcome in outcomes] == [ErrorCode.NONE] * 2
    np.testing.assert_array_equal(outcomes[-1].memory, due)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_memory_that_stalls_and_answers_at_random(two_steps, seed):
    memory, programs, due = two_steps
    outcomes = sat.run(TINY, memory, programs, seed=seed, stalls=40 * seed)
    np.testing.assert_array_equal(outcomes[-1].memory, due)


def test_a_reset_in_the_middle_of_a_step_and_the_step_again(two_steps):
    """What a step changes, it writes to a second place: it can be run again, whatever the first attempt has left."""
    memory, (first, second), due = two_steps
    (whole,) = sat.run(TINY, memory, [first])
    cycles, rng = whole.registers["cycles"], np.random.default_rng(0)
    programs, disturbances = [], []
    for program in (first, second):
        for abort in rng.integers(1, cycles, 4):
            programs.append(program)
            disturbances.append(Disturbance(abort_cycles=int(abort)))
        programs.append(program)
        disturbances.append(QUIET)
    outcomes = sat.run(TINY, memory, programs, disturbances=disturbances)
    assert outcomes[4].registers["cycles"] == cycles, "no more than without the resets"
    np.testing.assert_array_equal(outcomes[4].memory, whole.memory)
    np.testing.assert_array_equal(outcomes[-1].memory, due)


def test_a_step_that_is_cut_short_and_the_step_again(two_steps):
    """The program ends anywhere, in a command or between two, before its ``HALT``: said so, and the whole step follows."""
    memory, (first, second), due = two_steps
    words = np.random.default_rng(1).integers(1, len(first) // 4 - 1, 6)
    programs = [*(first[: 4 * int(count)] for count in words), first, second]
    outcomes = sat.run(TINY, memory, programs)
    assert [outcome.error for outcome in outcomes] == [ErrorCode.NO_HALT] * len(words) + [ErrorCode.NONE] * 2
    np.testing.assert_array_equal(outcomes[-1].memory, due)
