"""What is said to whoever waits: lines, a spinner, a bar, all on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
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


@contextmanager
def live_bar(seconds_between: float) -> Iterator[Callable[[str, int, int], None]]:
    """A bar from the first call on: what is said, how much is done, and of how much; with the time that is left.

    Where standard error is no terminal, a line after so many seconds, which says it in words.
    """
    from rich.progress import TimeRemainingColumn

    bar, said = progress(TimeRemainingColumn()), perf_counter()
    task = bar.add_task("")
    first: tuple[float, int] | None = None

    def tell(text: str, done: int, whole: int) -> None:
        nonlocal said, first
        now = perf_counter()
        first = first or (now, done)
        if log.is_terminal:
            bar.start()
            bar.update(task, description=text, completed=done, total=whole)
        elif now - said >= seconds_between:
            said = now
            if done > first[1]:
                left = (whole - done) * (now - first[0]) / (done - first[1])
                text = f"{text}  {timedelta(seconds=round(left))} left"
            log.print(text, soft_wrap=True)

    try:
        yield tell
    finally:
        if bar.live.is_started:  # what ends before its first step leaves no empty line
            bar.stop()
