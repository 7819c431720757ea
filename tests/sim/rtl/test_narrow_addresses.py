"""An accelerator with few bits for addresses and counts: what it does is what the others do, and what it cannot is refused."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow import zoo
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Conv, GlobalPool, Linear, Network, Relu
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.checks import check, check_sat
from hw.isa.commands import Halt, Load, Loop, Source, Sync, Walk
from hw.ratio import Ratio
from sim.steps.assembled import assemble_step
from sim.steps.whole_step import step_on_rtl
from training import methods
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

CONFIG = PRESETS["ecp5"]
WINDOWS = Network(
    name="windows",
    input_shape=(4, 4, 2),
    layers=(
        Conv(name="conv", inputs=(INPUT,), out_channels=4, kernel=3, padding=1),
        Relu(name="relu", inputs=("conv",)),
        GlobalPool(name="pool", inputs=("relu",)),
        Linear(name="out", inputs=("pool",), out_features=3),
    ),
)


@pytest.mark.parametrize("network", [zoo.load("mlp/8"), WINDOWS], ids=lambda network: network.name)
@pytest.mark.parametrize("method, ratio", [("bdwp", Ratio(2, 4)), ("dense", Ratio(1, 1))])
def test_a_step_is_the_trainers(network, method, ratio):
    """Padded windows begin before their tensor, which may be before byte 0."""
    rng = np.random.default_rng(0)
    model = Model(network, ExactBackend(), rng, method=methods.load(method), ratio=ratio)
    images = to_storage(rng.standard_normal((2, *network.input_shape)).astype(np.float32), CONFIG.storage_format)
    done = step_on_rtl(CONFIG, model, Sgd(), images, rng.integers(0, 3, 2), 0.05)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)


def walk(**fields):
    return Load(source=Source.ELEMENTS, walk=Walk(boundary=2, **fields))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (walk(base=1 << 18), "walk.base must be in 0..262143, not 262144"),
        (walk(u_size=1 << 16), "walk.u_size must be in 1..65535, not 65536"),
        (walk(v=(Loop(count=1 << 16), *(Loop(),) * 3)), "walk.v.0.count must be in 1..65535, not 65536"),
        (walk(u=(Loop(delta=-(1 << 18) - 1), *(Loop(),) * 3)), "walk.u.0.delta must be in -262144..262143, not -262145"),
    ],
)
def test_what_its_fields_do_not_hold_is_refused(command, message):
    with pytest.raises(InputError, match=f"^LOAD: {message}$"):
        check(CONFIG, command)
    check(PRESETS["tiny"], replace(command, walk=replace(command.walk, boundary=4)))


def test_a_network_that_is_too_large_is_refused():
    """By the field of the command that would not hold it."""
    model = Model(zoo.load("mlp"), ExactBackend(), np.random.default_rng(0), ratio=Ratio(2, 4))
    assembled = assemble_step(replace(CONFIG, address_bits=16), model, Sgd(), 0.05, 2)
    with pytest.raises(InputError, match=r"^(LOAD|STORE): walk\.base must be in 0\.\.65535, not"):
        execute(replace(CONFIG, address_bits=16), assembled.backward, Memory(), 0)


def test_a_program_is_as_long_as_can_be_counted():
    long = [*[Sync()] * 65535, Halt()]
    for program, address in ((long, 0), ([Halt()], 1 << 18)):
        with pytest.raises(InputError, match=r"^a program has at most 65535 words and begins before byte 262144; it has"):
            execute(CONFIG, program, Memory(), address)


def test_buffers_are_counted():
    with pytest.raises(InputError, match=r"^buffers of ecp5 may have 65535 words, as count_bits says, not \d+$"):
        check_sat(replace(CONFIG, w2e_buffer_bytes=1 << 24))
