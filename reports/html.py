"""One file that opens offline: title, sections, style and script inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.colours import ENERGY, ENERGY_NAMES, NAMES, STAGES
from reports.units import grouped, percent, si


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Parameters
    ----------
    title : str
        Its heading.
    body : Markup
        What it shows.
    lead : str
        One or two sentences that say how to read it.
    """

    title: str
    body: Markup
    lead: str = ""


def render(title: str, sections: Sequence[Section], *, subtitle: str = "", badge: str = "", footer: str = "") -> str:
    """A whole page.

    Parameters
    ----------
    title, subtitle : str
        What it is about.
    sections : sequence of Section
        In reading order.
    badge : str
        A word beside the title, such as ``"cycle-exact"``.
    footer : str
        How the page was made.
    """
    return str(fill("page.html", title=title, subtitle=subtitle, badge=badge, sections=sections, footer=footer))


def fill(template: str, **values: Any) -> Markup:  # noqa: ANN401 (templates take what they show)
    """A template of `templates/` with its values."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(si=si, grouped=grouped, percent=percent)
    environment.globals.update(colours=ENERGY | STAGES, names=ENERGY_NAMES | NAMES)
    return environment
