"""What is said to whoever waits: lines, a spinner, a bar, all on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

log = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Progress and tables go to standard error, so that ``--json`` owns standard output. No text is markup."""


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Say beside a spinner what is being done; gives what changes the text."""
    with log.status(Text(text)) as status:
        yield lambda text: status.update(Text(text))


def progress(*columns: "ProgressColumn", transient: bool = False) -> "Progress":
    """A bar on standard error: what is being done, then `columns`."""
    from rich.progress import BarColumn, Progress, TextColumn  # takes longer to import than most commands

    return Progress(TextColumn("{task.description}", markup=False), BarColumn(), *columns, console=log, transient=transient)
