"""Kills commands at random and runs them again: ``python tests/sim/killing.py --only report --trials 3 --seed 1``.

::

    undisturbed ─► bytes of all files ──────────────────────────────┐
    the same, kill -9 after a part of its time ─► nothing runs on   ├─► equal?
                   and the same again ─► bytes of all files ────────┘

Each command has folders of its own for its output, for temporary files and, where it builds, for what is kept. What it found
is printed as JSON.
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

TRAIN = ["train", "--epochs", "4", "--batch", "512", "--method", "bdwp"]
COMMANDS = {
    "train": TRAIN,
    "train --resume": [*TRAIN, "--resume"],
    "sweep": ["sweep", "--models", "mlp", "--methods", "dense,bdwp", "--ratios", "2:8", "--seeds", "1", "--epochs", "2"],
    "report": ["report", "mlp", "--config", "tiny", "--batch", "8"],
    "study": ["study", "networks", "mlp", "cnn", "--config", "tiny", "--batch", "8"],
    "export": ["export", "--block", "pregenerate"],
    "synth": ["synth", "--block", "sore"],
    "cosim": ["cosim", "--model", "mlp", "--batch", "8"],
    "demo": ["demo"],
}
BUILT = ("cosim", "demo")
"""Whose simulators all trials share, but the first one: they take minutes to build."""

TIMES = re.compile(rb'("(?:[a-z_]*seconds[a-z_]*|[a-z_]*_per_second|time|date|cores)": )[^,}\n]*')
"""What differs between any two runs: how long they took."""


def place_of(root):
    """Folders for a command, which works in the first one."""
    for name in ("work", "temporary", "cache"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return root


def begin(arguments, root, cache):
    """Start a command; the process, and the mark that all it starts inherits."""
    mark = secrets.token_hex(16)
    environment = {
        **os.environ,
        "NMTRAIN_CACHE": str(cache),
        "TMPDIR": str(root / "temporary"),
        "NMTRAIN_MARK": mark,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", "import sys; from sim.cli import main; main(sys.argv[1:])", *arguments, "--out", "out"]
    with open(root / "told", "wb") as told:
        return subprocess.Popen(command, cwd=root / "work", env=environment, stdout=told, stderr=told), mark


def marked(mark):
    """Processes that are alive and have this mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes() and "State:\tZ" not in (process / "status").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def left_running(mark):
    """What a killed command leaves, after some seconds in which it may end; it is ended here."""
    end = time.monotonic() + MOST_SECONDS
    while (found := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return len(found)


def files_of(root):
    """Contents by name, times left out."""
    work = root / "work"
    return {str(file.relative_to(work)): content(file) for file in sorted(work.rglob("*")) if file.is_file()}


def content(file):
    """A file's, times left out."""
    return TIMES.sub(rb"\g<1>0", file.read_bytes())


def undisturbed(arguments, root, cache):
    """Files, and seconds that it took."""
    begun = time.monotonic()
    process, _ = begin(arguments, place_of(root), cache)
    if process.wait():
        raise SystemExit(f"{' '.join(arguments)}: status {process.returncode}: {(root / 'told').read_text()[-2000:]}")
    return files_of(root), time.monotonic() - begun


def trial(arguments, root, cache, seconds, due):
    """Kill it after so many seconds, then run it; what was wrong."""
    process, mark = begin(arguments, place_of(root), cache)
    try:
        process.wait(seconds)
        ended = True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        ended = False
    problems = [f"{count} processes run on"] if (count := left_running(mark)) else []
    process, mark = begin(arguments, root, cache)
    if process.wait():
        problems.append(f"then status {process.returncode}: {(root / 'told').read_text()[-500:]}")
    if count := left_running(mark):
        problems.append(f"{count} processes run on behind its end")
    found = files_of(root)
    problems += [f"{name} is missing" for name in due if name not in found]
    problems += [f"{name} is left" for name in found if name not in due]
    problems += [f"{name} is not the same" for name in due if name in found and found[name] != due[name]]
    problems += [f"{path.name} is left in the temporary folder" for path in (root / "temporary").glob("nmtrain*")]
    return not ended, problems


def killed(name, trials, rng, folder):
    """Trials of a command, each killed on its way: how many, and what was wrong."""
    arguments, cache = COMMANDS[name], folder / "cache"
    due, seconds = undisturbed(arguments, folder / "undisturbed", cache)
    problems = []
    for number in range(trials):
        root, after, was_killed = folder / str(number), rng.uniform(0, seconds), False
        own = cache if name in BUILT and number else root / "cache"
        while not was_killed:
            was_killed, found = trial(arguments, root, own, after, due)
            problems += [f"{name}, killed after {after:.2f} of {seconds:.2f} s: {problem}" for problem in found]
            shutil.rmtree(root)
            after /= 2  # where it was faster than before, and had ended
    return {"trials": trials, "problems": problems}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=list(COMMANDS))
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng, found = random.Random(chosen.seed), {}
    with tempfile.TemporaryDirectory(prefix="killing-") as folder:
        for name in chosen.only:
            found[name] = killed(name, chosen.trials, rng, Path(folder) / name.replace(" ", "-"))
            print(name, found[name], file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
