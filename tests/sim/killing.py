"""Kills commands at random and runs them again: ``python tests/sim/killing.py --only report --trials 3 --seed 1``.

::

    undisturbed ─► what it prints, bytes of all files ──────────────┐
    the same, kill -9 after a part of its time ─► nothing runs on   ├─► equal?
                   and the same again ─► the same of it ────────────┘

Each trial has folders of its own for output, for temporary files and for what is kept. What was wrong is printed as JSON.
"""

import argparse
import json
import os
import random
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_SECONDS = 10
"""That what a killed command had started may still take to end."""

TRAIN = "train --epochs 2 --batch 512 --method bdwp"
COMMANDS = {
    "train": TRAIN,
    "train --resume": f"{TRAIN} --resume",
    "sweep": "sweep --models mlp --methods dense,bdwp --ratios 2:8 --seeds 1 --epochs 1 --batch 512",
    "report": "report mlp --config tiny --batch 8",
    "study": "study networks mlp --config tiny --batch 8",
    "export": "export --block pregenerate",
    "synth": "synth --block sore",
    "validate": "validate mlp --samples 3 --batch 8",
    "cosim": "cosim --model mlp --batch 8",
    "demo": "demo",
}
BUILT = ("validate", "cosim", "demo")
"""Whose simulators all trials share, but the first one: they take minutes to build."""

TIMES = re.compile(rb'("(?:[a-z_]*seconds[a-z_]*|[a-z_]*_per_second|time|date|cores)": )[^,}\n]*')
"""What differs between any two runs: how long they took."""


class Run:
    """A command at work in ``root/work``, whose processes all inherit a mark."""

    def __init__(self, command: str, root: Path, cache: Path) -> None:
        for name in ("work", "temporary"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.root, self.mark = root, secrets.token_hex(16)
        environment = {
            **os.environ,
            "NMTRAIN_CACHE": str(cache),
            "TMPDIR": str(root / "temporary"),
            "NMTRAIN_MARK": self.mark,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        main = [sys.executable, "-c", "import sys; from sim.cli import main; main(sys.argv[1:])"]
        with open(root / "said", "wb") as said, open(root / "printed", "wb") as printed:
            arguments = [*main, *command.split(), "--json", "--out", "out"]
            self.process = subprocess.Popen(arguments, cwd=root / "work", env=environment, stdout=printed, stderr=said)

    def ends(self) -> list[str]:
        """What is wrong with its end, or nothing."""
        status = self.process.wait()
        return [f"status {status}: {(self.root / 'said').read_text()[-500:]}"] if status else []

    def is_killed(self, seconds: float) -> bool:
        """Whether it was still running after so many seconds; then it is killed, and no other process."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return True
        return False

    def runs_on(self) -> list[str]:
        """What it has left running, after some seconds in which that may end."""
        end = time.monotonic() + MOST_SECONDS
        while (left := alive(self.mark)) and time.monotonic() < end:
            time.sleep(0.05)
        return [f"{name} runs on" for name in left]

    def results(self) -> dict[str, bytes]:
        """What it printed, and contents by name, times left out."""
        files = [path for path in sorted((self.root / "work").rglob("*")) if path.is_file()]
        contents = {str(path.relative_to(self.root)): path.read_bytes() for path in [*files, self.root / "printed"]}
        return {name: TIMES.sub(rb"\g<1>0", content) for name, content in contents.items()}


def alive(mark: str) -> list[str]:
    """Commands of the processes that have this mark, and are no zombies."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes() and "State:\tZ" not in (process / "status").read_text():
                found.append((process / "cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue
    return found


def trial(command: str, root: Path, cache: Path, seconds: float, due: dict[str, bytes]) -> tuple[bool, list[str]]:
    """Kill it after so many seconds, then run it: whether it was killed, and what was wrong."""
    first = Run(command, root, cache)
    killed = first.is_killed(seconds)
    problems = first.runs_on()
    again = Run(command, root, cache)
    problems += [*again.ends(), *again.runs_on()]
    found = again.results()
    problems += [f"{name} is missing" for name in due if name not in found]
    problems += [f"{name} is left" for name in found if name not in due]
    problems += [f"{name} is not the same" for name in due if name in found and found[name] != due[name]]
    return killed, problems + [f"{path.name} is left in the temporary folder" for path in (root / "temporary").glob("nmtrain*")]


def trials(name: str, count: int, rng: random.Random, folder: Path) -> list[str]:
    """What was wrong in so many trials of a command, each killed on its way."""
    command, cache, problems = COMMANDS[name], folder / "cache", list[str]()

    def undisturbed() -> tuple[dict[str, bytes], float]:
        begun, run = time.monotonic(), Run(command, folder / "undisturbed", cache)
        if wrong := run.ends():
            raise SystemExit(f"{command}: {wrong}")
        results, seconds = run.results(), time.monotonic() - begun
        shutil.rmtree(run.root)
        return results, seconds

    due, seconds = undisturbed()
    for number in range(count):
        root, killed = folder / str(number), False
        shared = name in BUILT and number > 0
        if shared and number == 1:
            _, seconds = undisturbed()
        after = rng.uniform(0, seconds)
        while not killed:
            killed, wrong = trial(command, root, cache if shared else root / "cache", after, due)
            problems += [f"{name}, killed after {after:.2f} of {seconds:.2f} s: {problem}" for problem in wrong]
            shutil.rmtree(root)
            after /= 2  # where it was faster than before, and had ended
    return problems


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=list(COMMANDS))
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng, found = random.Random(chosen.seed), {}
    with tempfile.TemporaryDirectory(prefix="killing-") as folder:
        for name in chosen.only:
            found[name] = trials(name, chosen.trials, rng, Path(folder) / name.replace(" ", "-"))
            print(name, found[name], file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
