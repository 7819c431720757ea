"""Hostile inputs to the commands, with fresh seeds: tracebacks, hangs, memory, half-written sets."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import Figure

INPUTS = 5000
TOOL = Path("tests/sim/hostile/run.py")


def figures() -> Iterator[Figure]:
    """One: how many inputs did not end in one line. The seed is printed, so that a fault can be had again."""
    seed, jobs = int(time.time()) % 100_000, os.cpu_count() or 1
    command = [sys.executable, str(TOOL), "--seed", str(seed), "--count", str(INPUTS), "--jobs", str(jobs)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    of = f"{found['inputs']:,} inputs, {found['refused']:,} refused, seed {seed}"
    yield Figure("hostile inputs that end in a traceback, a hang, 4 GB or half a set", found["faults"], "inputs", of, "<= 0")
