"""A training step as one program, with the gradient of the loss: bytes of the trainer, cycles of the machine."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.compile.loss import SHARE, TARGET
from dataflow.compile.memory import NEXT
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, BatchNorm, Linear, Network, Relu
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.rtl.image import decode, weights, write
from sim.steps.assembled import assemble_step, initial_memory
from sim.steps.program import run_program
from training.backend import ExactBackend
from training.loss import scaled_gradient, share, targets
from training.machine.executor import Executor
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd
from training.step import training_step

TINY = PRESETS["tiny"]
LAYERS = (
    Linear(name="first", inputs=(INPUT,), out_features=16),
    BatchNorm(name="norm", inputs=("first",)),
    Relu(name="relu", inputs=("norm",)),
    Linear(name="out", inputs=("relu",), out_features=7),
)
NETWORK = Network(name="one", input_shape=(9,), layers=LAYERS)


class Step:
    """A step that is ready to run, and what the trainer makes of it."""

    def __init__(self, network, batch, *, smoothing=0.0, loss_scale=None):
        rng = np.random.default_rng(batch)
        self.model = Model(network, ExactBackend(), rng, ratio=Ratio(2, 8))
        self.optimiser, self.storage = Sgd(), TINY.storage_format
        self.optimiser.loss_scale.scale = loss_scale or self.optimiser.loss_scale.scale
        self.images = to_storage(rng.standard_normal((batch, *network.input_shape)).astype(np.float32), self.storage)
        self.labels = rng.integers(0, network.shapes[network.layers[-1].name][-1], batch)
        self.assembled = assemble_step(TINY, self.model, self.optimiser, 0.1, batch, loss=True)
        self.memory = initial_memory(TINY, self.assembled, self.model, self.optimiser)
        first, self.last = next(iter(network.weighted())).name, network.layers[-1].name
        target = targets(self.labels, network.shapes[self.last][-1], smoothing)
        self.factor = share(batch, self.optimiser.loss_scale.scale)
        written = {f"{first}.input": self.images, TARGET: target, SHARE: np.full(target.shape[1], self.factor)}
        for name, values in written.items():
            write(self.memory, self.assembled.memory[name], values, self.storage)

    def different(self, memory, *, skipped=False):
        """Masters, copies and statistics of which a byte is not the trainer's: where the step wrote them, or left them."""
        training_step(self.model, self.optimiser, self.images, self.labels, 0.1)
        tensors, wrong = self.assembled.memory.tensors, []
        for name, values in weights(self.model, self.optimiser).items():
            if name in tensors:
                place, due = tensors[name + NEXT if name + NEXT in tensors and not skipped else name], memory.copy()
                write(due, place, values, self.storage)
                wrong += [name] * (not np.array_equal(due, memory))
        return wrong


@pytest.mark.parametrize("network", [NETWORK, zoo.load("mlp")], ids=["batch norm", "mlp"])
def test_a_step_is_one_program(network):
    step = Step(network, 6)
    program = run_program(TINY, step.memory, step.assembled.step, Memory(20, 1))
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted
    assert step.different(program.outcome.memory) == []


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_that_of_the_exact_trainer(batch, smoothing):
    step = Step(NETWORK, batch, smoothing=smoothing)
    machine = Executor(TINY, step.memory)
    machine.run(step.assembled.forward)
    tensors = (step.assembled.memory[f"{step.last}.{kind}"] for kind in ("output", "output_gradient"))
    logits, gradient = (decode(tensor, machine.memory, step.storage) for tensor in tensors)
    due = scaled_gradient(ExactBackend(), logits, step.labels, step.optimiser.loss_scale.scale, smoothing)
    np.testing.assert_array_equal(gradient.view(np.uint16), due.view(np.uint16))


def test_an_overflow_leaves_all_as_it_was():
    """Masters, velocities, copies and running statistics: on the accelerator, and in the trainer."""
    step = Step(NETWORK, 4, loss_scale=2.0**40)
    before = {name: values for name, values in weights(step.model, step.optimiser).items() if name.startswith("norm.")}
    machine = Executor(TINY, step.memory)
    machine.run(step.assembled.step)
    assert machine.overflow
    assert step.different(machine.memory, skipped=True) == []
    after = weights(step.model, step.optimiser)
    assert {"norm.mean", "norm.variance", "norm.scale", "norm.shift"} <= before.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
