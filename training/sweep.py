"""Many trainings of one table: methods by ratios by seeds, resumable."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hw.errors import DivergedError, InputError
from hw.files import alone_in, append_line, csv_text, json_text, write_set, write_whole
from hw.inputs import parse_json, read_text, shown
from hw.processes import end_with_parent
from hw.ratio import DENSE, Ratio, parse_ratio
from training import methods
from training.data import load_data
from training.experiment import Experiment, load_network
from training.experiment import run as train
from training.identity import contents, read_files
from training.readers.form import Form
from training.table import markdown

Run = dict[str, Any]
Rows = list[dict[str, Any]]
OUTCOME = ("test_accuracy", "train_loss")
Settings = tuple[tuple[str, str], ...]
MOST_CASES = 100_000
"""Trainings of a sweep."""
KEY = ("model", "method", "settings", "ratio", "wide")
"""What tells rows apart."""
COLUMNS = (*KEY, "seeds", "diverged", "mean", "deviation", "least", "most", "lost_points")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is trained: every model by every method at every ratio, dense once, with seeds 0 and up.

    Parameters
    ----------
    data, epochs, batch, learning_rate, exact
        See `training.experiment.Experiment`.
    models : tuple of str
        Networks.
    methods : tuple of str
        Names, or ``("all",)``.
    ratios : tuple of Ratio
        For every method that prunes.
    seeds : int
        Trainings of each row, at least 1.
    wide : bool
        Whether each method is also trained with wider hidden layers.
    settings : tuple of (str, tuple of str)
        Constants of methods and the values that each takes in turn, all with all; a method has those of its own.
    normalise : str
        Of the data; see `training.readers.form.Form`.
    """

    data: str = "digits"
    models: tuple[str, ...] = ("mlp", "cnn")
    methods: tuple[str, ...] = ("all",)
    ratios: tuple[Ratio, ...] = (Ratio(2, 4), Ratio(2, 8), Ratio(2, 16))
    seeds: int = 5
    epochs: int = 25
    batch: int = 32
    learning_rate: float = 0.1
    exact: bool = False
    wide: bool = False
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    normalise: str = ""

    def cases(self) -> list[Experiment]:
        """Every training, seeds innermost; `InputError` for an unknown method, or where they are too many."""
        count = len(self.models) * self.seeds * sum(1 for _ in self._rules())
        if not 1 <= count <= MOST_CASES:
            raise InputError(f"{count:,} trainings: at least 1 model, method and ratio, and at most {MOST_CASES:,} of them")
        return [
            Experiment(
                data=self.data,
                model=model,
                method=method,
                settings=settings,
                ratio=ratio,
                normalise=self.normalise,
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                exact=self.exact,
                wide=wide,
                seed=seed,
            )
            for model in self.models
            for method, settings, ratio, wide in self._rules()
            for seed in range(self.seeds)
        ]

    def _rules(self) -> Iterator[tuple[str, Settings, Ratio, bool]]:
        names = sorted(methods.registry()) if self.methods == ("all",) else self.methods
        found = {name: methods.load(name) for name in names}
        known = {name: methods.constants(type(method)) if method.prunes else () for name, method in found.items()}
        for constant, _ in self.settings:
            if not any(constant in own for own in known.values()):
                raise InputError(f"none of the methods has a constant {shown(constant)}")
        for name in sorted(names, key=lambda name: name != "dense"):
            ratios = self.ratios if found[name].prunes else (DENSE,)
            own = [[(constant, value) for value in values] for constant, values in self.settings if constant in known[name]]
            for settings, ratio in product(product(*own), ratios):
                methods.load(name, dict(settings))
                yield name, settings, ratio, False
                if self.wide and not ratio.is_dense:
                    yield name, settings, ratio, True


def run(
    sweep: Sweep,
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, str], None] = lambda done, what: None,
    draw: Callable[[Rows], dict[str, bytes]] = lambda rows: {},
) -> dict[str, Any]:
    """Train what ``runs.jsonl`` in `out` does not hold yet, then write ``accuracy.json``, ``.csv``, ``.md``, and what is drawn.

    Parameters
    ----------
    jobs : int
        Trainings at a time.
    progress : callable
        Told how many trainings are done, and which ended last.
    draw : callable
        Makes images of the rows, by file name.

    Returns
    -------
    dict
        ``sweep``, its fields; ``rows``, one a model, method and ratio; ``runs``, one a training.
    """
    with alone_in(out):
        result = _run(sweep, out, jobs, progress)
        rows = result["rows"]
        texts = {"accuracy.json": json_text(result), "accuracy.csv": csv_text(rows, COLUMNS), "accuracy.md": markdown(rows)}
        write_set(out, {**texts, **draw(rows)})
        return result


def _run(sweep: Sweep, out: Path, jobs: int, progress: Callable[[int, str], None]) -> dict[str, Any]:
    cases = sweep.cases()
    data = load_data(sweep.data, Form(0, sweep.normalise, augment=False))
    asked = {(case.model, case.method) for case in cases}
    content = {one: contents(load_network(one[0])[0], data, read_files(one[0], method=one[1])) for one in asked}
    keys = {case: _key(case, content[case.model, case.method]) for case in cases}
    known = _read(out / "runs.jsonl")
    left = [case for case in cases if keys[case] not in known]
    progress(len(cases) - len(left), "")
    for done, (case, outcome) in enumerate(_train_all(left, jobs), len(cases) - len(left) + 1):
        append_line(out / "runs.jsonl", json.dumps({"experiment": json.loads(keys[case]), "outcome": outcome}))
        known[keys[case]] = outcome
        reached = "diverged" if outcome["test_accuracy"] is None else f"{outcome['test_accuracy']:.2%}"
        progress(done, f"{case.model} {case.method} {case.ratio} {reached}")
    runs = [_describe(case) | known[keys[case]] for case in cases]
    fields = asdict(sweep) | {"ratios": [str(ratio) for ratio in sweep.ratios]}
    return {"sweep": fields, "rows": summarise(runs), "runs": runs}


def summarise(runs: list[Run]) -> Rows:
    """One row a model, method, ratio and width: mean, sample deviation and range, and points lost against dense."""
    rows: dict[tuple[Any, ...], list[float | None]] = {}
    for one in runs:
        rows.setdefault(tuple(one[name] for name in KEY), []).append(one["test_accuracy"])
    dense = {model: _mean(accuracies) for (model, method, *_), accuracies in rows.items() if method == "dense"}
    return [_row(key, accuracies, dense.get(key[0])) for key, accuracies in rows.items()]


def _row(key: tuple[Any, ...], outcomes: list[float | None], dense: float | None) -> dict[str, Any]:
    """Of all seeds; accuracies are those of trainings that did not diverge, and None where all did."""
    accuracies = [accuracy for accuracy in outcomes if accuracy is not None]
    reached = _mean(accuracies)
    return dict(zip(COLUMNS, key, strict=False)) | {
        "seeds": len(outcomes),
        "diverged": len(outcomes) - len(accuracies),
        "mean": None if reached is None else round(reached, 6),
        "deviation": round(stdev(accuracies), 6) if len(accuracies) > 1 else 0.0,
        "least": round(min(accuracies), 6) if accuracies else None,
        "most": round(max(accuracies), 6) if accuracies else None,
        "lost_points": None if dense is None or reached is None else round(100 * (dense - reached), 4),
    }


def _mean(outcomes: Sequence[float | None]) -> float | None:
    """Of trainings that did not diverge."""
    accuracies = [accuracy for accuracy in outcomes if accuracy is not None]
    return mean(accuracies) if accuracies else None


def _train_all(cases: list[Experiment], jobs: int) -> Iterator[tuple[Experiment, Run]]:
    """Each case and its outcome, as they end."""
    if jobs == 1:
        for case in cases:
            yield case, train_one(case)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=end_with_parent) as pool:
        futures = {pool.submit(train_one, case): case for case in cases}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def train_one(case: Experiment) -> Run:
    """What the table needs of a training: None for its numbers where it diverged."""
    try:
        _, metrics = train(case)
    except DivergedError:
        return dict.fromkeys(OUTCOME)
    return {"test_accuracy": metrics["test_accuracy"], "train_loss": metrics["train_loss"][-1]}


def _describe(case: Experiment) -> Run:
    settings = ",".join(f"{name}={value}" for name, value in case.settings)
    names = {"model": case.model, "method": case.method, "settings": settings, "ratio": str(case.ratio)}
    return names | {"wide": case.wide, "seed": case.seed}


def _key(case: Experiment, content: dict[str, str]) -> str:
    """Everything that the outcome depends on, as text."""
    return json.dumps(case.identity | content, sort_keys=True)


def _read(path: Path) -> dict[str, Run]:
    """Trainings that ended; a last line that was cut off is none."""
    known: dict[str, Run] = {}
    if not path.exists():
        return known
    lines = read_text(path).split("\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            entry = parse_json(line, str(path))
            parse_ratio(entry["experiment"]["ratio"])
            numbers = {name: entry["outcome"][name] for name in OUTCOME}
            diverged = all(number is None for number in numbers.values())
            known[json.dumps(entry["experiment"], sort_keys=True)] = {
                name: None if diverged else float(number) for name, number in numbers.items()
            }
        except (ValueError, KeyError, TypeError, OverflowError):
            raise InputError(f"{path}, line {number}: not a training of a sweep") from None
    if lines[-1]:
        write_whole(path, "".join(f"{line}\n" for line in lines[:-1]))
    return known
