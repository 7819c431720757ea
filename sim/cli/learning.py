"""``nmtrain cosim --whole --until``: a training on the RTL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import alone_in, json_text, write_set
from hw.inputs import parse_json, read_text
from sim.cli.common import show, stopping
from sim.console import live_bar, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataflow.machine.timing import Memory
    from sim.learning.loop import Told
    from training.experiment import Experiment

SECONDS_BETWEEN_LINES = 20
"""Where standard error is no terminal."""


def learn_on_rtl(
    config: AcceleratorConfig,
    experiment: "Experiment",
    timing: "Memory",
    until: float,
    beside: Path | None,
    wave: str | None,
    out: Path,
    *,
    resume: bool,
    as_json: bool,
) -> int:
    """Train until `until` per cent of the test images are classified right; write what came of it."""
    from sim.learning.curves import draw_learning, named
    from sim.learning.loop import first_test, learn
    from sim.learning.recording import Part
    from training.journal import Journal
    from training.saved import model_bytes

    other, part = _other(beside) if beside else None, Part.parse(wave) if wave else None
    journal = Journal(out, experiment.identity, goes_on=resume)
    with alone_in(out):
        with stopping(journal), _line() as told:
            model, result = learn(config, experiment, timing, journal, until / 100, part, told)
        head: dict[str, Any] = {
            name: getattr(experiment, name) for name in ("data", "model", "method", "batch", "seed", "optimiser")
        }
        head |= {"config": config.name, "ratio": str(experiment.ratio), "until": until}
        result = head | result
        picture = draw_learning([result, *([other] if other else [])])
        weights = model_bytes(model, result | {"normalisation": None})
        write_set(out, {"cosim.json": json_text(result), "learning.png": picture, "weights.npz": weights})
        journal.close()
    show(result, as_json=as_json)
    log.print(
        f"{out / 'cosim.json'}: test accuracy {result['accuracy']:.2%} after {result['step_count']} steps and "
        f"{result['rtl_cycles']:,} cycles on the RTL; {result['bytes_compared']:,} bytes compared, 0 different",
        soft_wrap=True,
    )
    for trained in (result, other) if other else ():
        log.print(f"{named(trained)}: {_when(first_test(trained, until / 100), until)}", soft_wrap=True)
    if part and not result["waveforms"]:
        log.print(f"no waveform: the training ended before step {part.step}, or that skipped the command")
    return 0 if result["reached"] or until >= 100 else 1


def _when(test: dict[str, Any] | None, until: float) -> str:
    """After how many steps and cycles an accuracy was there."""
    wanted = f"{until:g} % of the test images"
    if test is None:
        return f"{wanted} never"
    left_out = test["step"] - test["steps_on_rtl"]
    which = f"; {left_out:,} of these steps were not on the RTL" if left_out else ""
    return f"{wanted} after {test['step']:,} steps and {test['cycles']:,} cycles{which}"


def _other(path: Path) -> dict[str, Any]:
    """The result of another training on the RTL."""
    from sim.learning.loop import is_result

    file = path / "cosim.json" if path.is_dir() else path
    found = parse_json(read_text(file), str(file))
    if not isinstance(found, dict) or not is_result(found):
        raise InputError(f"{file}: no training on the RTL; allowed: cosim.json of nmtrain cosim --whole --until")
    return found


@contextmanager
def _line() -> Iterator["Callable[[Told], None]"]:
    """Step, loss, accuracy, cycles, and cycles a second; how long it takes, at most."""
    start, before = perf_counter(), None
    with live_bar(SECONDS_BETWEEN_LINES) as tell:

        def told(at: "Told") -> None:
            nonlocal before
            before = at.cycles - at.latest if before is None else before
            speed, where = (at.cycles - before) / (perf_counter() - start), at.where
            step = f"step {at.step}  loss {where.loss:.4f}  accuracy {where.accuracy:.2%}"
            tell(f"{step}  {at.cycles:,} cycles, {speed:,.0f} a second", where.images, where.total_images)

        yield told
