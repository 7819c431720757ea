"""Configurations, schedules, sweeps, programs and vectors that mean ill: each maker says what the command line is."""

import json

from values import DEEP, FRACTIONS, NAMES, WHOLE, json_text, mutated, pick, text_of

FIELDS = [
    "rows",
    "columns",
    "max_group",
    "multiply_latency_cycles",
    "add_latency_cycles",
    "clock_hz",
    "sore_lanes",
    "wuve_lanes",
    "vpu_lanes",
    "w2e_buffer_bytes",
    "n2s_buffer_bytes",
    "output_buffer_bytes",
    "partial_sum_words",
    "dram_channels",
    "dram_channel_bytes_per_second",
    "dram_latency_cycles",
    "axi_data_bits",
    "axi_burst_beats",
    "axi_fifo_beats",
]


def toml(rng, folder):
    values = {"rows": "4", "columns": "4"}
    for _ in range(int(rng.integers(1, 4))):
        kinds = [lambda: text_of(pick(rng, WHOLE)), lambda: pick(rng, FRACTIONS), lambda: json.dumps(pick(rng, NAMES))]
        kinds += [lambda: "[" * DEEP, lambda: "{a=" * 500, lambda: "true", lambda: "0x" + "f" * 5000, lambda: "9999-99-99"]
        kinds += [lambda: text_of(int(2 ** rng.integers(0, 34)))] * 4
        values[pick(rng, (*FIELDS, *FIELDS, "name", "storage", "unknown", '"\\ud800"'))] = pick(rng, kinds)()
    text = "".join(f"{name} = {value}\n" for name, value in values.items()).encode(errors="replace")
    path = folder / "mine.toml"
    path.write_bytes(mutated(rng, text) if rng.random() < 0.2 else text)
    network = pick(rng, ("mlp", "cnn"))
    return pick(
        rng,
        (
            ["workloads", network, "--config", path],
            ["report", network, "--config", path, "--batch", "8", "--out", folder / "out"],
            ["report", network, "--config", path, "--batch", "8", "--json"],
            ["study", "networks", network, "--config", path, "--batch", "8", "--out", folder / "out"],
            ["program", "step", "--config", path, "--batch", "2", "--out", folder / "out"],
        ),
    )


def schedule(rng, folder):
    entry = {"layer": "fc1", "stage": "forward", "dataflow": "os", "interleave": [1, 4], "order": "stream", "split": 2}
    (folder / "pins.json").write_bytes(
        json_text(rng, {"schedule": 1, "choices": [entry, entry | {"stage": "weight_gradient"}]})
    )
    return ["report", "mlp", "--config", "tiny", "--batch", "8", "--json", "--schedule", folder / "pins.json"]


def sweep(rng, folder):
    from dataflow import zoo
    from training.data import load_data
    from training.identity import contents
    from training.sweep import Sweep, _key

    case = Sweep(models=("mlp",), methods=("dense",), seeds=1, epochs=1, batch=512).cases()[0]
    outcome = {"test_accuracy": 0.5, "train_loss": 1.0}
    content = contents(zoo.load("mlp"), load_data("digits"), [])
    line = json_text(rng, {"experiment": json.loads(_key(case, content)), "outcome": outcome})
    (folder / "out").mkdir()
    (folder / "out" / "runs.jsonl").write_bytes(line + (b"\n" if rng.random() < 0.8 else b""))
    options = ["sweep", "--models", "mlp", "--methods", "dense", "--seeds", "1", "--epochs", "1", "--batch", "512", "--out"]
    return [*options, folder / "out"]


PROGRAM = b"""LOAD.WEIGHTS  count=1
  walk.base=0x40 walk.size_log2=1
PRODUCT  steps=0x10
PASS  words=12 steps=0x10 options=0x1
STORE.RESULTS  ?
  walk.base=0x1c0
HALT
"""


def assemble(rng, folder):
    text = PROGRAM.replace(b"0x1", text_of(pick(rng, WHOLE)).encode(), 1) if rng.random() < 0.5 else PROGRAM
    (folder / "mine.txt").write_bytes(mutated(rng, text))
    return ["program", "assemble", folder / "mine.txt", folder / "mine.bin"]


def binary(rng, folder):
    from hw.isa.encoding import encode
    from hw.isa.listing import parse

    content = encode(parse("HALT\nPASS words=12 steps=0x10\nHALT\n"))
    (folder / "mine.bin").write_bytes(pick(rng, (mutated(rng, content), mutated(rng, content), rng.bytes(64), b"")))
    return ["program", "show", folder / "mine.bin"]


def vectors(rng, folder):
    line = pick(
        rng, (b"3C00 4000 40000000\n", b"3C00 4000 40000000 05\n", b"f" * 100_000 + b" 1 2\n", b"zz\n", b"\xff\n", b"\n")
    )
    path = folder / "mul.txt"
    path.write_bytes(mutated(rng, line * int(rng.integers(1, 4))) + b"12345678901 0 0\n")
    return ["fp", "--op", "mul", "--from", "f16", "--to", "f32", "--vectors", path, "--out", folder / "out"]
