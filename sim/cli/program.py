"""``nmtrain program``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import json_text, write_set, write_whole
from hw.inputs import read_bytes
from hw.ratio import Ratios
from sim.cli.common import (
    MOST_SEED,
    RATES,
    Count,
    config_option,
    network_of,
    optimiser_option,
    output_options,
    ratio_option,
    scale_option,
    scaled,
    show,
)
from sim.console import log, working

if TYPE_CHECKING:  # imported when a command runs, so that the others start fast
    from dataflow.compile.assemble import Assembled
    from sim.steps.program import ProgramOnRtl, Refused

MOST_IMAGE_BYTES = 1 << 30
"""Of a step's memory that is written to a file; of a larger one there is its description alone."""

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("program")
def command() -> None:
    """Write the accelerator's programs, show them as text, run them.

    \b
    Example:
      nmtrain program step --model mlp --batch 8
      nmtrain program show out/program/forward.bin
    """


@command.command("step")
@config_option()
@click.option("--model", default="mlp", show_default=True, help="network: a name or a file")
@scale_option
@click.option("--method", default="bdwp", show_default=True, help="dense or bdwp")
@ratio_option(by_layer=True)
@click.option("--batch", type=Count(4096), default=8, show_default=True, help="images of a step")
@optimiser_option
@click.option("--loss", is_flag=True, help="one program more, step.bin, that computes the loss's gradient itself")
@click.option("--dataflow", type=click.Choice(["os", "ws"]), help="of all products; default: the schedule's")
@click.option("--seed", type=Count(MOST_SEED, least=0), default=0, show_default=True, help="of the weights and the images")
@output_options("out/program")
def step(
    config: AcceleratorConfig, model: str, scale: int, method: str, ratio: Ratios, batch: int, optimiser: str, loss: bool,
    dataflow: str | None, seed: int, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write a training step as two programs, and the memory that they start from.

    forward.bin leaves the network's output in memory. The host puts the loss's gradient beside it, and backward.bin does the
    rest: gradients, updates, packed copies, which go to a second place. From there forward_next.bin and backward_next.bin go
    on, and back to the first one; after an overflow a step is lost, and its two programs are run again.

    memory.bin is the image at the start, of an untrained network and random images, up to 1 GiB; memory.json says where in it
    each tensor stands, what it is, its format and scale, and what the host writes and reads.

    With --loss forward.bin computes the gradient, too, of softmax cross-entropy with targets in memory, and step.bin is both in
    one: a step without a stop for the host.

    The programs are those of the first step. Later ones differ in the learning rate, and with AdamW in the decay and in what is
    added to squares: fields of UPDATE and PASS that the host writes anew.

    \b
    Examples:
      nmtrain program step --model mlp --ratio 2:8 --batch 8 --out out/program
      nmtrain program step --model cnn --batch 8 --loss --out out/whole
    """
    import numpy as np

    from dataflow.ir.program import Dataflow
    from hw.isa.encoding import encode
    from sim.steps.assembled import assemble_step, initial_memory
    from sim.steps.step_files import describe
    from training import methods
    from training.backend import ExactBackend
    from training.experiment import Experiment, build_optimiser
    from training.model import Model
    from training.numbers import to_storage

    config.check_ratio(ratio)
    model = scaled(model, scale)
    network, rng, storage = network_of(model).network, np.random.default_rng(seed), config.storage_format
    trained = Model(network, ExactBackend(storage), rng, method=methods.load(method), ratio=ratio)
    updates = build_optimiser(Experiment(method=method, optimiser=optimiser))
    stays, rate = Dataflow(dataflow) if dataflow else None, RATES[optimiser] / 2

    def assembled_for(*, exchanged: bool) -> "Assembled":
        return assemble_step(config, trained, updates, rate, batch, lambda _: stays, loss=loss, exchanged=exchanged)

    assembled, behind = assembled_for(exchanged=False), assembled_for(exchanged=True)
    layers = next(iter(network.weighted())).name, network.layers[-1].name
    described = describe(config, assembled, *layers, updates.loss_scale.scale)
    programs = {"forward": assembled.forward, "backward": assembled.backward}
    programs |= {"forward_next": behind.forward, "backward_next": behind.backward}
    programs |= {"step": assembled.step, "step_next": behind.step} if loss else {}
    result: dict[str, Any] = {"config": config.name, "model": model, "method": method, "ratio": str(ratio), "batch": batch}
    result |= {"optimiser": optimiser} | described
    result["programs"] = {name: {"commands": len(one), "bytes": len(encode(one))} for name, one in programs.items()}
    files: dict[str, str | bytes] = {f"{name}.bin": encode(commands) for name, commands in programs.items()}
    size = assembled.memory.size_bytes
    if size <= MOST_IMAGE_BYTES:
        images = to_storage(rng.standard_normal((batch, *network.input_shape)).astype(np.float32), storage)
        files["memory.bin"] = initial_memory(config, assembled, trained, updates, images).tobytes()
    write_set(out, files | {"memory.json": json_text(result)})
    show(result, as_json=as_json)
    sizes = ", ".join(f"{name}.bin {one['commands']} commands" for name, one in result["programs"].items())
    image = "memory.bin" if size <= MOST_IMAGE_BYTES else "memory, too large for an image,"
    log.print(f"{out}: {sizes}; {image} {size:,} bytes, {len(described['tensors'])} tensors")


@command.command("show")
@click.argument("file", type=FILE)
def show_program(file: Path) -> None:
    """Print a program as text, which `nmtrain program assemble` takes.

    \b
    Example:
      nmtrain program show out/program/forward.bin
    """
    from hw.isa.listing import listing

    commands, behind = _decoded(file)
    click.echo(listing(commands), nl=False)
    if behind:
        click.echo(f"# {len(behind)} bytes stand behind HALT, and have no effect")


@command.command("assemble")
@click.argument("file", type=FILE)
@click.argument("target", type=FILE)
def assemble(file: Path, target: Path) -> None:
    """Make a program of a text as `nmtrain program show` prints it.

    \b
    Example:
      nmtrain program assemble mine.txt mine.bin
    """
    from hw.isa.encoding import encode
    from hw.isa.listing import parse

    try:
        text = read_bytes(file).decode()
    except UnicodeDecodeError:
        raise InputError(f"{file}: is not text; a program's bytes are for nmtrain program show") from None
    commands = parse(text, str(file))
    behind = len(commands) - len(_that_runs(file, commands))
    program = encode(commands)
    write_whole(target, program)
    if behind:
        log.print(f"{file}: {behind} commands stand behind HALT, and have no effect")
    log.print(f"{target}: {len(commands)} commands, {len(program)} bytes")


@command.command("run")
@click.argument("file", type=FILE)
@config_option()
@click.option("--memory", "image", type=FILE, required=True, help="the memory's bytes at the start")
@click.option("--latency", type=Count(10_000, least=0), help="of the memory, in cycles; by default the configuration's")
@click.option("--interval", type=Count(1_000), help="cycles between beats of the memory; by default the configuration's")
@output_options("out/program")
def run(
    file: Path, config: AcceleratorConfig, image: Path, latency: int | None, interval: int | None, out: Path, as_json: bool
) -> int:
    """Run a program on the RTL, in NumPy and on the SimPy machine, and compare memory and counters.

    Writes the memory as it then is to after.bin: what a board must have left, too.

    \b
    Example:
      nmtrain program run out/program/forward.bin --memory out/program/memory.bin
    """
    import numpy as np

    from dataflow.machine.timing import Memory
    from sim.steps.program import ProgramOnRtl, try_program

    (commands, behind), memory = _decoded(file), np.frombuffer(read_bytes(image), np.uint8)
    _that_runs(file, commands)
    if behind:
        log.print(f"{file}: {len(behind)} bytes stand behind HALT, and have no effect")
    with working(f"running {file} on {config.name}"):
        done = try_program(config, memory, commands, Memory.of(config, latency, interval), behind)
    result = {"config": config.name, "error": done.outcome.error.name, "registers": done.outcome.registers}
    result |= _compared(done) if isinstance(done, ProgramOnRtl) else _refused(done)
    write_set(out, {"after.bin": done.outcome.memory.tobytes(), "run.json": json_text(result)})
    show(result, as_json=as_json)
    return 0 if isinstance(done, ProgramOnRtl) and done.agrees else 1


def _compared(done: "ProgramOnRtl") -> dict[str, Any]:
    """Of a program that ran to its end, what differs."""
    different = sum(row["bytes_different"] for row in done.rows)
    log.print(
        f"{len(done.rows) - 1} operations and all {len(done.outcome.memory):,} bytes: {different} different; "
        f"{done.counted['cycles']:,} cycles on the RTL, {done.predicted['cycles']:,} predicted"
    )
    return {
        "bytes_different": different,
        "counted": done.counted,
        "predicted": done.predicted,
        "operations": done.rows,
    }


def _refused(done: "Refused") -> dict[str, Any]:
    """Of one that did not, where the RTL stopped, then what the models say."""
    from hw.isa.registers import ErrorCode, unit_numbers

    registers, units = done.outcome.registers, {number: name for name, number in unit_numbers().items()}
    stopped = {
        "code": done.outcome.error.name,
        "unit": units.get(registers["error_unit"], str(registers["error_unit"])),
        "command": registers["error_command"],
        "address": registers["error_address"],
    }
    if done.outcome.error is ErrorCode.NONE:
        log.print("the RTL ran the program to its end, and a model does not")
    else:
        where = f"unit {stopped['unit']}, command {stopped['command']} of those begun, address {stopped['address']:#x}"
        log.print(f"the RTL stopped: {stopped['code']}, {where}", soft_wrap=True)
    for name, why in done.said.items():
        log.print(f"{name}: {why or 'runs it to its end'}", soft_wrap=True)
    return {"stopped": stopped if done.outcome.error is not ErrorCode.NONE else None, "models": done.said}


def _decoded(file: Path) -> tuple[list[Any], bytes]:
    """The commands of a program, and the bytes that stand behind its HALT."""
    from hw.isa.encoding import decode, encode

    program = read_bytes(file)
    try:
        commands = decode(program)
    except InputError as error:
        raise error if str(error).startswith(str(file)) else InputError(f"{file}: {error}") from None
    return commands, program[len(encode(commands)) :]


def _that_runs(file: Path, commands: list[Any]) -> Sequence[Any]:
    """What runs of a file's commands; `InputError` with its name where they do not end."""
    from hw.isa.checks import up_to_halt

    try:
        return up_to_halt(commands)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
