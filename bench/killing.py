"""Commands that are killed at random moments, then run again: bytes that differ, processes that run on."""

import json
import os
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
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    of = f"{sum(one['trials'] for one in found.values())} trials of {len(found)} commands, kill -9, seed {seed}"
    yield Figure(
        "what is not as undisturbed, or runs on", sum(len(one["problems"]) for one in found.values()), "faults", of, "<= 0"
    )
