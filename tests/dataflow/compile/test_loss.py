"""The gradient of softmax cross-entropy by its passes in NumPy, against the formula in binary64."""

import numpy as np
import pytest

from dataflow.compile.loss import SHARE, TARGET
from dataflow.network import INPUT, Linear, Network
from hw.config import PRESETS
from sim.rtl.image import decode, write
from sim.steps.assembled import assemble_step, initial_memory
from training.backend import ExactBackend
from training.machine.executor import Executor
from training.model import Model
from training.optimiser import Sgd

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("batch, classes", [(1, 7), (4, 8), (6, 5)])
def test_the_gradient_is_what_the_softmax_is_above_the_target_times_the_share(batch, classes):
    """The host writes the negative share: (target - softmax) · -share. Rounded to binary16, 11 bits, more than once."""
    rng, share = np.random.default_rng(batch), 128.0
    network = Network(name="net", input_shape=(9,), layers=(Linear(name="out", inputs=(INPUT,), out_features=classes),))
    model, optimiser = Model(network, ExactBackend(), rng), Sgd()
    made = assemble_step(TINY, model, optimiser, 0.1, batch, loss=True)
    memory = initial_memory(TINY, made, model, optimiser, rng.standard_normal((batch, 9)).astype(np.float32) * 2)
    target = np.eye(classes)[rng.integers(0, classes, batch)] * 0.9 + 0.1 / classes
    write(memory, made.memory[TARGET], target, TINY.storage_format)
    write(memory, made.memory[SHARE], np.full(classes, -share), TINY.storage_format)
    machine = Executor(TINY, memory)
    machine.run(made.forward)
    logits, gradient = (
        decode(made.memory[f"out.{kind}"], machine.memory, TINY.storage_format).astype(np.float64)
        for kind in ("output", "output_gradient")
    )
    assert np.ptp(logits) > 1
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    due = (powers / powers.sum(axis=1, keepdims=True) - target) * share
    np.testing.assert_allclose(gradient, due, rtol=2**-9, atol=share * 2**-11)
