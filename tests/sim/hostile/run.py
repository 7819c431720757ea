"""Hostile inputs to the commands, drawn from a seed: ``python tests/sim/hostile/run.py --seed 1 --count 100``.

Each case runs in a process of its own and must end with status 0, 1 or 2; with 2, in one line on standard error and with
nothing in its output folder. A traceback, status 70, a minute of processor time or 4 GB of memory are faults, which are printed
as JSON with the seed that makes the case again.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from data import checkpoint, cifar, pictures, saved
from networks import convolution, functions, model, python, topology
from texts import assemble, binary, schedule, sweep, toml, vectors
from values import FRACTIONS, NAMES, WHOLE, pick, text_of

import sim.cli
from training.data import load_data

MOST_SECONDS, MOST_BYTES = 60, 4 << 30
MOST_WAIT = 600  # seconds by the clock: of a case that waits for what never comes
SCREEN = 2**30  # of memory that a worker may have before it begins
OPTIONS = {
    "workloads": "config",
    "report": "config method ratio batch schedule without out",
    "study networks": "config ratio batch out",
    "train": "data model method ratio epochs batch learning-rate schedule warm-up optimiser "
    "momentum weight-decay label-smoothing dropout storage seed out",
    "sweep": "data models methods ratios seeds epochs batch learning-rate jobs out",
    "gemm": "config m n k ratio format dataflow seed stall-probability",
    "cosim": "config data model method ratio steps batch epochs seed latency",
    "export": "config block out",
    "synth": "config block target",
    "fp": "op from to vectors latency",
    "program step": "config model method ratio batch dataflow seed out",
    "program run": "config memory latency interval out",
}
"""Of each command, what is given a hostile value."""
POSITIONAL = {"workloads": 1, "report": 1, "study networks": 1, "program run": 1}
QUICK = {
    "train": ["--epochs", "1", "--batch", "512"],
    "sweep": ["--models", "mlp", "--methods", "dense", "--seeds", "1", "--epochs", "1", "--batch", "512"],
}
LONG = {"--epochs": ("255", "4096"), "--seeds": ("255", "4096")}
"""What is right, and takes as long as it says."""

REFUSED = "not-a-thing"
"""Makes sure that commands which would simulate end before they do."""


def options(rng, folder):
    """A command with hostile values for one or two of its options."""
    command = pick(rng, list(OPTIONS))
    (folder / "file").write_text("x")
    os.mkfifo(folder / "fifo.csv")
    paths = [
        folder / "file",
        folder,
        folder / "fifo.csv",
        folder / "no" / "such",
        "/dev/null",
        "/dev/full",
        "/dev/zero",
        "/proc/1/x",
    ]

    def value():
        numbers = [text_of(number) for number in WHOLE]
        return str(pick(rng, pick(rng, (numbers, numbers, FRACTIONS, [name.replace("\0", "") for name in NAMES], paths))))

    chosen = {f"--{pick(rng, OPTIONS[command].split())}": value() for _ in range(int(rng.integers(1, 3)))}
    chosen = {name: "2" if text in LONG.get(name, ()) else text for name, text in chosen.items()}
    if "out" in OPTIONS[command].split():
        chosen.setdefault("--out", str(folder / "out"))
    if command in ("gemm", "cosim", "synth", "fp", "program run", "program step", "export"):
        chosen.setdefault("--op" if command == "fp" else "--config", REFUSED)
    arguments = [value() if rng.random() < 0.5 else "mlp" for _ in range(POSITIONAL.get(command, 0))]
    named = [part for name, text in chosen.items() for part in (name, text)]
    return [*command.split(), *QUICK.get(command, []), *named, "--", *arguments]


def full_disk(rng, folder):
    """A right command whose files cannot be written whole."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(pick(rng, (0, 100, 1000, 20_000))),) * 2)
    return pick(
        rng,
        (
            ["report", "mlp", "--config", "tiny", "--batch", "8", "--out", folder / "out"],
            ["study", "networks", "mlp", "--config", "tiny", "--batch", "8", "--out", folder / "out"],
            ["program", "step", "--batch", "2", "--out", folder / "out"],
            ["train", "--epochs", "1", "--batch", "512", "--method", "dense", "--out", folder / "out"],
            ["sweep", *QUICK["sweep"], "--out", folder / "out"],
        ),
    )


MAKERS = {
    toml: 5,
    schedule: 3,
    sweep: 2,
    topology: 4,
    model: 6,
    convolution: 4,
    functions: 1,
    python: 3,
    checkpoint: 2,
    cifar: 2,
    pictures: 1,
    saved: 2,
    assemble: 2,
    binary: 2,
    vectors: 1,
    options: 12,
    full_disk: 1,
}
"""By weight."""


def run(seed):
    """One case in a child; what was wrong with it, or nothing."""
    rng = np.random.default_rng(seed)
    weights = np.array(list(MAKERS.values()))
    maker = list(MAKERS)[int(rng.choice(len(MAKERS), p=weights / weights.sum()))]
    folder = Path(tempfile.mkdtemp(prefix="nmtrain-hostile-"))
    begun = time.monotonic()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _child(maker, rng, folder, write)
    os.close(write)
    os.set_blocking(read, False)
    faults, status, usage, told = [], None, None, b""
    while status is None:
        told += _available(read)
        done, found, usage = os.wait4(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(found)
        elif time.monotonic() - begun > MOST_WAIT:
            os.killpg(child, signal.SIGKILL)
            faults.append(f"waits for more than {MOST_WAIT} s")
            _, found, usage = os.wait4(child, 0)
            status = os.waitstatus_to_exitcode(found)
        else:
            time.sleep(0.005)
    arguments, _, error = (told + _available(read)).decode(errors="replace").partition("\0")
    os.close(read)
    faults += judge(status, error, folder / "out", maker.__name__)
    if usage.ru_maxrss * 1024 > MOST_BYTES:
        faults.append(f"{usage.ru_maxrss * 1024:,} bytes of memory")
    shutil.rmtree(folder)
    seconds = round(time.monotonic() - begun, 1)
    return {
        "seed": seed,
        "kind": maker.__name__,
        "status": status,
        "faults": faults,
        "seconds": seconds,
        "command": arguments[:300],
        "error": error[-1500:],
    }


def _available(pipe):
    """What stands in a pipe."""
    try:
        return os.read(pipe, 1 << 20)
    except BlockingIOError:
        return b""


def judge(status, error, out, kind):
    """What the end of a command must not be."""
    if status not in (0, 1, 2):
        return [f"status {status}"]
    lines = error.splitlines()
    if "Traceback" in error:
        return ["a traceback"]
    if status != 2:
        return []
    if not lines or not lines[-1].startswith("nmtrain: ") or sum(line.startswith("nmtrain: ") for line in lines) != 1:
        return ["not one line"]
    held = {file.name for file in out.rglob("*")} - {"runs.jsonl", "checkpoint.npz", "metrics.jsonl"} if out.is_dir() else set()
    return [f"left {sorted(held)}"] if held else []


def _child(maker, rng, folder, pipe):
    """Make the input, run the command, never come back."""
    status = 99
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS,) * 2)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES + SCREEN,) * 2)
        os.environ["TMPDIR"] = str(folder)
        os.chdir(folder)
        tempfile.tempdir = None
        arguments = [str(part) for part in maker(rng, folder)]
        os.write(pipe, " ".join(arguments)[:2000].encode(errors="replace").replace(b"\0", b"?") + b"\0")
        nothing = os.open("/dev/null", os.O_RDWR)
        for place, which in ((0, nothing), (1, nothing), (2, pipe)):
            os.dup2(which, place)
        from sim.cli import main

        main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    for name in sim.cli.COMMANDS:  # in the parent, once for all children
        importlib.import_module(f"sim.cli.{name}")
    for name in (
        "dataflow.importers.onnx_layers",
        "reports.plots",
        "reports.trace",
        "reports.studies",
        "sim.steps.whole_step",
        "sim.steps.program",
    ):
        importlib.import_module(name)
    load_data("digits")

    seeds = [chosen.seed * 1_000_000 + number for number in range(chosen.first, chosen.first + chosen.count)]
    parts = []
    for job in range(chosen.jobs):
        read, write = os.pipe()
        if not os.fork():
            os.close(read)
            with open(write, "w") as file:
                for seed in seeds[job :: chosen.jobs]:
                    file.write(json.dumps(run(seed)) + "\n")
                    file.flush()
            os._exit(0)
        os.close(write)
        parts.append(read)
    found = []
    for part in parts:
        with open(part) as file:
            for line in file:
                found.append(json.loads(line))
                if chosen.verbose or found[-1]["faults"]:
                    print(line.strip(), file=sys.stderr, flush=True)
    faulty = [case for case in found if case["faults"]]
    print(
        json.dumps(
            {
                "inputs": len(found),
                "faults": len(faulty),
                "refused": sum(case["status"] == 2 for case in found),
                "cases": faulty,
            }
        )
    )


if __name__ == "__main__":
    main()
