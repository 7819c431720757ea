"""What every command shares: options, and results as JSON."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dataflow.zoo.scale import MOST
from hw.config import AcceleratorConfig, load_config
from hw.errors import InputError
from hw.formats import FORMATS, FloatFormat, parse_format
from hw.inputs import shown, whole
from hw.ratio import Ratios, parse_ratio, parse_ratios

if TYPE_CHECKING:
    from dataflow.importers import Imported
    from dataflow.importers.onnx_graph import Given
    from training.journal import Journal

F = TypeVar("F", bound=Callable[..., Any])


class ConfigType(click.ParamType):
    """A preset's name or a TOML file."""

    name = "CONFIG"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AcceleratorConfig:  # noqa: ANN401
        return value if isinstance(value, AcceleratorConfig) else load_config(value)


class RatioType(click.ParamType):
    """``N:M`` with N kept of M, or ``dense``.

    Parameters
    ----------
    by_layer : bool
        Whether ``layer=N:M,...`` is taken, too.
    """

    name = "N:M"

    def __init__(self, *, by_layer: bool = False) -> None:
        self.by_layer = by_layer

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ratios:  # noqa: ANN401
        if not isinstance(value, str):
            return value
        return parse_ratios(value) if self.by_layer else parse_ratio(value)


SHORT_FORMATS = {
    "f16": "binary16",
    "bf16": "bfloat16",
    "f32": "binary32",
    "e4m3": "float8_e4m3",
    "e4m3fn": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
}
"""Short names of number formats; TestFloat has the first three."""


class FormatType(click.ParamType):
    """A number format's name or short name.

    Parameters
    ----------
    most_bits : int
        Wider formats are refused.
    """

    name = "FORMAT"

    def __init__(self, most_bits: int = 32) -> None:
        self.allowed = [name for name in (*FORMATS, *SHORT_FORMATS) if self._parse(name).width <= most_bits]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FloatFormat:  # noqa: ANN401
        if isinstance(value, FloatFormat):
            return value
        if value not in self.allowed:
            raise InputError(f"unknown format {shown(value)}; allowed: {', '.join(self.allowed)}")
        return self._parse(value)

    def _parse(self, name: str) -> FloatFormat:
        return parse_format(SHORT_FORMATS.get(name, name))


def config_option(default: str = "tiny") -> Callable[[F], F]:
    """``--config``: preset or TOML file."""
    return click.option(
        "--config",
        type=ConfigType(),
        default=default,
        show_default=True,
        help="preset (tiny, small, medium, vcu1525, ecp5), with AdamW if -adamw is behind it, or a TOML file",
    )


def ratio_option(default: str = "2:8", *, by_layer: bool = False) -> Callable[[F], F]:
    """``--ratio``: N kept of M, of all pruned layers or `by_layer`."""
    text = "N kept of M, or dense" + "; by layer: conv1=dense,fc*=2:4,*=2:8, the first that fits" * by_layer
    return click.option("--ratio", type=RatioType(by_layer=by_layer), default=default, show_default=True, help=text)


def settings_option(command: F) -> F:
    """``--set NAME=VALUE``, any number of times, as pairs."""

    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(map(read_setting, values))

    text = "a constant of the method, such as pruned_decay=1e-4; once a constant"
    return click.option("--set", "settings", multiple=True, callback=read, metavar="NAME=VALUE", help=text)(command)


def read_setting(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` as a pair."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"--set must be NAME=VALUE, such as pruned_decay=1e-4, not {shown(text)}")
    return name, value


def scale_option(command: F) -> F:
    """``--scale D``, see `dataflow.zoo.scale`."""
    text = (
        "a narrow version of a network of the zoo: channels divided by D, fewer equal blocks, and pixels, or those of the data"
    )
    return click.option("--scale", type=Count(MOST), default=1, metavar="D", help=text)(command)


def scaled(model: str, scale: int) -> str:
    """The name of a model's narrow version."""
    return model if scale == 1 else f"{model}/{scale}"


RATES = {"sgd": 0.1, "adamw": 0.003}
"""Learning rates at the start of a training, where none is asked for."""


def optimiser_option(command: F) -> F:
    """``--optimiser``, or ``--optimizer``."""
    return click.option("--optimiser", "--optimizer", default="sgd", show_default=True, help="sgd or adamw")(command)


def learning_rate_option(command: F) -> F:
    """``--learning-rate``, None where it is that of `RATES`."""
    text = f"at the start of the schedule; default: {', '.join(f'{rate} for {name}' for name, rate in RATES.items())}"
    return click.option("--learning-rate", type=float, help=text)(command)


def data_options(command: F) -> F:
    """``--image-size``, ``--normalise`` and ``--augment``, as `training.readers.form.Form` has them."""
    for option in (
        click.option("--augment", is_flag=True, help="crop at random and mirror training images"),
        click.option("--normalise", default="", help="data, none, or MEAN:DEVIATION (commas between channels) of the images"),
        click.option("--image-size", type=Count(4096, least=0), default=0, help="side of folder:PATH's pictures as squares"),
    ):
        command = option(command)
    return command


def input_shape_option(command: F) -> F:
    """``--input-shape NAME=1,3,224,224`` and ``--input-value NAME=NUMBER``, any number of times, as one dictionary."""

    @wraps(command)
    def both(*arguments: Any, values: dict[str, float], shapes: dict[str, tuple[int, ...]], **rest: Any) -> Any:  # noqa: ANN401
        return command(*arguments, shapes=shapes | values, **rest)

    def read(reader: Callable[[str], tuple[str, Any]]) -> Callable[..., dict[str, Any]]:
        return lambda context, parameter, texts: dict(map(reader, texts))

    shape = "of an ONNX file's input with symbolic axes, batch first; once an input"
    value = "makes a constant of an ONNX file's input; once an input"
    for name, target, example, reader, text in (
        ("--input-value", "values", "NAME=NUMBER", _read_value, value),
        ("--input-shape", "shapes", "NAME=1,3,224,224", _read_shape, shape),
    ):
        both = click.option(name, target, multiple=True, callback=read(reader), metavar=example, help=text)(both)
    return both  # type: ignore[return-value]


def _read_value(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = nan
    if not (name and equals and isfinite(value)):
        raise InputError(f"--input-value must be NAME=NUMBER, such as rate=16000, not {shown(text)}")
    return name, value


def _read_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not (name and equals and all(part.strip().isascii() and part.strip().isdigit() and len(part) < 10 for part in parts)):
        raise InputError(f"--input-shape must be NAME=sizes, such as x=1,3,224,224, not {shown(text)}")
    shape = tuple(map(int, parts))
    if min(shape) < 1:
        raise InputError(f"--input-shape {name}: sizes must be at least 1, not {sizes}")
    return name, shape


MOST_SEED, MOST_EPOCHS = (1 << 31) - 1, 1_000_000


class Count(click.ParamType):
    """A whole number within limits.

    Parameters
    ----------
    most : int
        What lies beyond is too large to wait for, or to hold.
    least : int
        The smallest.
    """

    name = "N"

    def __init__(self, most: int, *, least: int = 1) -> None:
        self.most, self.least = most, least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        try:
            return whole(str(value), self.most, least=self.least)
        except InputError as error:
            raise InputError(f"{param.opts[0] if param else 'number'} {error}") from None


def output_options(folder: str) -> Callable[[F], F]:
    """``--out DIR`` (default `folder`) and ``--json``."""

    def add(command: F) -> F:
        command = click.option("--json", "as_json", is_flag=True, help="print the result object alone on standard output")(
            command
        )
        return click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path(folder),
            show_default=True,
            help="folder to write to",
        )(command)

    return add


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the result object on standard output when ``--json`` was asked for."""
    if as_json:
        click.echo(json.dumps(result))


@contextmanager
def stopping(journal: "Journal") -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the training after the running step, with a checkpoint; a second ends it at once."""

    def stop(number: int, frame: object) -> None:
        if journal.stopped:
            raise KeyboardInterrupt
        journal.stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def network_of(name: str, *, skip_unknown: bool = False, shapes: "Given | None" = None) -> "Imported":
    """A network that a step is to be made of: of an ONNX file as it trains, where it does, else as `importers.load` has it."""
    from dataflow import importers

    if name.endswith(".onnx") and not (skip_unknown or shapes):
        from training.exchange.onnx_read import read_trainable

        try:
            return importers.Imported(read_trainable(Path(name))[0])
        except InputError:
            pass  # which the other reader says, if it cannot read it either
    return importers.load(name, skip_unknown=skip_unknown, shapes=shapes)
