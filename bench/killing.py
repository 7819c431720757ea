"""Commands that are killed at random moments, then run again: bytes that differ, processes that run on."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import Figure

TRIALS = 10
TOOL = Path("tests/sim/killing.py")


def figures() -> Iterator[Figure]:
    """One: of so many trials, what was wrong. The seed is printed, so that a fault can be had again."""
    seed = int(time.time()) % 100_000
    command = [sys.executable, str(TOOL), "--seed", str(seed), "--trials", str(TRIALS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    of = f"{TRIALS} trials each of {', '.join(found)}; seed {seed}"
    yield Figure("what is not as undisturbed after kill -9, or runs on", sum(map(len, found.values())), "faults", of, "<= 0")
