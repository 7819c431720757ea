"""What is skipped is what would have been stepped: cycles and every counter are the same with and without skipping."""

import ast
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import dataflow.machine.units as units
from dataflow.lower import lower
from dataflow.machine.assemble import assemble
from dataflow.machine.executor import execute
from dataflow.machine.units.port import Memory
from dataflow.machine.updates import Rates
from dataflow.pins import Choice
from dataflow.program import Dataflow
from dataflow.stages import Stage
from dataflow.zoo.chain import Chain
from hw.config import PRESETS
from hw.errors import InputError
from hw.ratio import DENSE, Ratio
from sim.random_steps import CONFIGS, RATIOS, random_network

RATES = Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0)
WIDE = replace(
    PRESETS["tiny"], name="wide", rows=8, columns=8, axi_data_bits=256, axi_burst_beats=32, axi_fifo_beats=128, dram_channels=2
)
SHORT = replace(PRESETS["tiny"], name="short", axi_burst_beats=4, axi_fifo_beats=16, output_buffer_bytes=16384)


def programs(network, config, batch, ratio, dataflows=(None,), random=None):
    """Both programs of a step; products keep what is drawn of `dataflows` in the array."""
    options = {
        "batch": batch,
        "ratio": ratio,
        "sparse_stages": frozenset() if ratio.is_dense else frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT}),
    }
    program = lower(network, config, **options)
    drawn = {(one.layer, one.stage): random.choice(dataflows) if random else None for one in program.products}
    pins = {name: Choice(dataflow=dataflow) for name, dataflow in drawn.items() if dataflow}
    assembled = assemble(network, lower(network, config, pins=pins, **options) if pins else program, config, RATES)
    return assembled.forward, assembled.backward


def random_programs(seed):
    random = Random(seed)
    while True:
        ratio = random.choice((DENSE, *RATIOS))
        network, batch = random_network(random, ratio), random.randint(1, 4)
        config = random.choice((*CONFIGS, PRESETS["small"], WIDE, SHORT))
        dataflows = random.choice([(None,), (Dataflow.WEIGHT_STATIONARY,), tuple(Dataflow)])
        try:
            found = programs(network, config, batch, ratio, dataflows, random)
        except InputError:  # the buffers have no room for what was drawn
            continue
        return config, found, Memory(random.randint(1, 60), random.randint(1, 3))


def compared(config, commands, memory):
    """Of a program that is stepped and skipped: the latter's result."""
    skipped, stepped = execute(config, commands, memory), execute(config, commands, memory, skip=False)
    assert skipped == stepped
    assert stepped.stepped == stepped.cycles
    return skipped


@pytest.mark.parametrize("seed", range(8))
def test_random_steps_take_as_long_with_skipping(seed):
    config, found, memory = random_programs(seed)
    for commands in found:
        compared(config, commands, memory)


def test_much_of_a_larger_batch_is_skipped():
    """Convolutions whose windows are cut by the array, and gathered; bias gradients; updates."""
    chain = Chain().conv("conv1", 16, 3, bias=True).relu().conv("conv2", 16, 3, stride=2).global_pool("mean")
    network = chain.linear("out", 10).network("stack", (6, 6, 16))
    found = [compared(WIDE, commands, Memory(20, 1)) for commands in programs(network, WIDE, 24, Ratio(2, 8))]
    cycles, stepped = (sum(getattr(one, name) for one in found) for name in ("cycles", "stepped"))
    assert stepped < 0.9 * cycles


FOLDER = Path(units.__file__).parent


def changed(body):
    """Attributes of ``self`` that are assigned, or changed through a method of a container."""
    for node in ast.walk(body):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                owner = part.value if isinstance(part, ast.Subscript) else part
                if isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "self":
                    yield owner.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            changes = node.func.attr in ("append", "popleft", "extend", "clear", "add") and isinstance(owner, ast.Attribute)
            if changes and isinstance(owner.value, ast.Name) and owner.value.id == "self":
                yield owner.attr


STATEFUL = [
    (path.name, kind)
    for path in sorted(FOLDER.glob("*.py"))
    for kind in ast.parse(path.read_text()).body
    if isinstance(kind, ast.ClassDef) and kind.name != "Unit"
    if "state" in {getattr(each, "name", "") for each in kind.body}
]


@pytest.mark.parametrize(("file", "kind"), STATEFUL, ids=[kind.name for _, kind in STATEFUL])
def test_a_unit_says_all_of_its_state(file, kind):
    """Every attribute that changes is named by `state`, or in its comments as what follows from others."""
    methods = {each.name: each for each in kind.body if isinstance(each, ast.FunctionDef)}
    source = ast.get_source_segment((FOLDER / file).read_text(), methods["state"])
    for name, body in methods.items():
        if name not in ("__init__", "state"):
            missing = {each for each in changed(body) if each not in source}
            assert not missing, f"{file}: {kind.name}.state says nothing of {sorted(missing)}, which {name} changes"


def test_every_unit_has_a_state():
    kinds = {kind.name for _, kind in STATEFUL}
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            bases = {getattr(base, "id", "") for base in getattr(node, "bases", ())}
            if isinstance(node, ast.ClassDef) and bases & {"Unit", "Port"}:
                assert node.name in kinds | {"Port"}, f"{path.name}: {node.name} has no state"
