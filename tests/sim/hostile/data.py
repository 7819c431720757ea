"""Checkpoints and data sets that mean ill."""

import json
import os
import pickle
import tarfile
import zipfile
from io import BytesIO

import numpy as np
from PIL import Image
from values import json_text, mutated, pick

NETWORK = """from dataflow.network import INPUT, Flatten, Linear, Network
layers = (Flatten(name="f", inputs=(INPUT,)), Linear(name="g", inputs=("f",), out_features=10))
network = Network(name="small", input_shape={shape}, layers=layers)
"""


def checkpoint(rng, folder):
    """A right checkpoint whose archive, arrays or text are bent."""
    from training.experiment import Experiment, run
    from training.journal import CHECKPOINT, Journal

    experiment = Experiment(epochs=1, batch=512, method="dense")
    out = folder / "out"
    out.mkdir()
    run(experiment, journal=Journal(out, experiment.identity))
    content = (out / CHECKPOINT).read_bytes()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    kind = rng.integers(0, 4)
    if kind == 0:
        content = mutated(rng, content)
    else:
        if kind == 1:
            name = pick(rng, list(parts))
            parts[name] = mutated(rng, parts[name][:200]) + parts[name][200:]
        elif kind == 2:
            claimed = BytesIO()
            np.lib.format.write_array_header_1_0(claimed, {"descr": "<f4", "fortran_order": False, "shape": (2**31,)})
            parts[pick(rng, list(parts))] = claimed.getvalue()
        else:
            text = BytesIO(parts["json.npy"])
            value = json.loads(np.load(text).tobytes())
            array = BytesIO()
            np.save(array, np.frombuffer(json_text(rng, value), np.uint8))
            parts["json.npy"] = array.getvalue()
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        content = packed.getvalue()
    (out / CHECKPOINT).write_bytes(content)
    return [*["train", "--resume", "--method", "dense", "--epochs", "1", "--batch", "512", "--out"], out]


def cifar(rng, folder):
    images = np.zeros((2, 3072), np.uint8)
    labels = pick(rng, ([0, 1], [0, 1], [0], [[0], [1]], [0, 10**30], [0, -1], [0.5, 1], None, "x", [0, None]))
    entries = {b"data": images, b"labels": labels, "\ud800" if rng.random() < 0.05 else b"x": 1}
    content = pickle.dumps(entries, protocol=int(rng.integers(0, 6)))
    if rng.random() < 0.1:
        nested = [0]
        for _ in range(30):
            nested = [nested, nested]
        content = pickle.dumps({b"data": images, b"labels": nested})
    data = folder / "data"
    data.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (data / name).write_bytes(mutated(rng, content) if rng.random() < 0.3 else content)
    if rng.random() < 0.3:
        path = folder / "data.tar"
        with tarfile.open(path, pick(rng, ("w", "w:gz"))) as archive:
            archive.add(data, "cifar")
        path.write_bytes(mutated(rng, path.read_bytes()))
        data = path
    elif rng.random() < 0.2:
        os.unlink(data / "test_batch")
        os.mkfifo(data / "test_batch")
    (folder / "net.py").write_text(NETWORK.format(shape="(32, 32, 3)"))
    return _train(folder, f"cifar10:{data}")


def pictures(rng, folder):
    data = folder / "data"
    for split in ("train", "val"):
        for name in ("a", "b"):
            place = data / split / name
            place.mkdir(parents=True)
            content = BytesIO()
            size = (60_000, 60_000) if rng.random() < 0.02 else (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
            Image.new(pick(rng, ("RGB", "L", "1", "P")), size if size[0] < 100 else (1, 1)).save(
                content, pick(rng, ("PNG", "BMP", "GIF"))
            )
            written = content.getvalue()
            if size[0] > 100:  # the header of a PNG: width and height
                written = written[:16] + size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big") + written[24:]
            (place / "x.png").write_bytes(mutated(rng, written) if rng.random() < 0.3 else written)
    (folder / "net.py").write_text(NETWORK.format(shape="(224, 224, 3)"))
    return _train(folder, f"imagenet:{data}")


def _train(folder, data):
    return [
        *["train", "--method", "dense", "--epochs", "1", "--data"],
        data,
        "--model",
        folder / "net.py",
        "--out",
        folder / "out",
    ]


def saved(rng, folder):
    """A trained model whose archive or arrays are bent."""
    from training.experiment import Experiment, build_model
    from training.saved import write_model

    path = folder / "weights.npz"
    write_model(path, build_model(Experiment(), np.random.default_rng(0)), {"data": "digits"})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if rng.random() < 0.6:
        array = BytesIO()
        value = json.loads(np.load(BytesIO(parts["json.npy"])).tobytes())
        np.save(array, np.frombuffer(json_text(rng, value), np.uint8))
        parts["json.npy"] = array.getvalue()
    else:
        name = pick(rng, list(parts))
        parts[name] = mutated(rng, parts[name][:200]) + parts[name][200:]
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return ["eval", path, "--out", folder / "out"]
