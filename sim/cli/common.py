"""What every command shares: options, and results as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from hw.config import AcceleratorConfig, load_config
from hw.ratio import Ratio, parse_ratio

F = TypeVar("F", bound=Callable[..., Any])

log = Console(stderr=True, highlight=False)
"""Progress and tables go to standard error, so that ``--json`` owns standard output."""


class ConfigType(click.ParamType):
    """A preset's name or a TOML file."""

    name = "CONFIG"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AcceleratorConfig:  # noqa: ANN401
        return value if isinstance(value, AcceleratorConfig) else load_config(value)


class RatioType(click.ParamType):
    """``N:M`` with N kept of M, or ``dense``."""

    name = "N:M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ratio:  # noqa: ANN401
        return value if isinstance(value, Ratio) else parse_ratio(value)


def config_option(default: str = "tiny") -> Callable[[F], F]:
    """``--config``: preset or TOML file."""
    return click.option(
        "--config",
        type=ConfigType(),
        default=default,
        show_default=True,
        help="preset (tiny, small, medium, vcu1525) or a TOML file",
    )


def ratio_option(default: str = "2:8") -> Callable[[F], F]:
    """``--ratio``: N kept of M."""
    return click.option("--ratio", type=RatioType(), default=default, show_default=True, help="N kept of M, or dense")


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
