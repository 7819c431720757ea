"""Files beside this one with marks such as ``@name``."""

from pathlib import Path
from string import Template


class _Tcl(Template):
    """A template whose marks are not those of Tcl's variables."""

    delimiter = "@"


def fill(name: str, **marks: object) -> str:
    """The text of file `name` with its marks filled."""
    return _Tcl(Path(__file__).with_name(name).read_text(encoding="utf-8")).substitute(**marks)
