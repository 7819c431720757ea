"""Write public networks as ONNX files, untrained, with the multiply-accumulates that PyTorch counts of them.

Run by `bench.onnx_files` with a Python that has torch, torchvision, timm and transformers:

    python bench/onnx_export.py FOLDER [NAME ...]

Each network leaves ``<name>.onnx`` without its weights and ``<name>.json``: ``macs`` of one sample, half of what
`torch.utils.flop_counter` counts. Nothing of ours is imported.
"""

import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

TORCHVISION = {
    "alexnet": 224, "resnet18": 224, "resnet50": 224, "resnext50_32x4d": 224, "densenet121": 224, "googlenet": 224,
    "mobilenet_v2": 224, "mobilenet_v3_large": 224, "shufflenet_v2_x1_0": 224, "squeezenet1_1": 224, "mnasnet1_0": 224,
    "efficientnet_b0": 224, "regnet_y_400mf": 224, "convnext_tiny": 224, "swin_t": 224,
}  # fmt: skip
SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
VIDEO = ("mc3_18",)
TIMM = {
    "deit_tiny_patch16_224": 224, "mixer_s32_224": 224, "resmlp_12_224": 224, "xcit_nano_12_p16_224": 224,
    "poolformer_s12": 224, "pvt_v2_b0": 224, "convmixer_768_32": 224, "ghostnet_100": 224, "res2net50_26w_4s": 224,
    "repvgg_a2": 224, "dla34": 224, "mobilevit_xs": 256, "edgenext_xx_small": 256, "efficientvit_b0": 224, "levit_128": 224,
    "cait_xxs24_224": 224, "coat_tiny": 224, "tinynet_a": 192, "rexnet_100": 224, "lcnet_100": 224,
}  # fmt: skip
SMALL = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
TEXT = {
    "bert": ("BertConfig", "BertModel", SMALL),
    "roberta": ("RobertaConfig", "RobertaModel", SMALL),
    "albert": ("AlbertConfig", "AlbertModel", SMALL),
    "electra": ("ElectraConfig", "ElectraModel", SMALL),
    "distilbert": ("DistilBertConfig", "DistilBertModel", {"dim": 128, "n_layers": 2, "n_heads": 4, "hidden_dim": 256}),
    "gpt2": ("GPT2Config", "GPT2Model", {"n_embd": 128, "n_layer": 2, "n_head": 4}),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXModel", SMALL),
    "llama": ("LlamaConfig", "LlamaModel", SMALL | {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2Config", "Qwen2Model", SMALL | {"num_key_value_heads": 2}),
}
"""Of transformers: configuration, model, sizes, on 16 tokens."""
TOKENS = 16

Made = tuple[nn.Module, torch.Tensor]
"""A network and an input."""


class Recognizer(nn.Module):
    """A text recogniser as OCR has them: convolutions, then LSTMs along the line, then classes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 128)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d((2, 2))]
        self.features = nn.Sequential(*layers)
        self.lstm = nn.LSTM(128 * 4, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.classes = nn.Linear(128, 97)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.features(image).permute(0, 3, 1, 2).flatten(2)
        return self.classes(self.lstm(found)[0])


class Listener(nn.Module):
    """A keyword spotter: a convolution over time, GRUs, a classifier of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(40, 64, 5, stride=2, padding=2)
        self.gru = nn.GRU(64, 96, num_layers=2, batch_first=True)
        self.classes = nn.Linear(96, 12)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found, _ = self.gru(torch.relu(self.first(features)).transpose(1, 2))
        return self.classes(found[:, -1])


class First(nn.Module):
    """A model whose output is the first tensor of what it gives back."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found = self.model(given)
        return found["out"] if isinstance(found, dict) and "out" in found else found if torch.is_tensor(found) else found[0]


def image(size: int, channels: int = 3) -> torch.Tensor:
    """A picture."""
    return torch.randn(1, channels, size, size)


def vision(name: str, size: int) -> Made:
    """An image classifier of torchvision."""
    import torchvision

    return getattr(torchvision.models, name)(weights=None), image(size)


def segmentation(name: str) -> Made:
    """One that gives a class for each pixel."""
    import torchvision

    return getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None), image(224)


def video(name: str) -> Made:
    """A classifier of eight pictures."""
    import torchvision

    return getattr(torchvision.models.video, name)(weights=None), torch.randn(1, 3, 8, 112, 112)


def timm_model(name: str, size: int) -> Made:
    """An image classifier of timm."""
    import timm

    return timm.create_model(name, pretrained=False), image(size)


def text(name: str) -> Made:
    """A small language model of transformers."""
    import transformers

    config, model, sizes = TEXT[name]
    made = getattr(transformers, config)(**sizes, vocab_size=1000, use_cache=False, attn_implementation="eager")
    pooled = {"add_pooling_layer": False} if name in ("bert", "roberta", "albert") else {}
    return getattr(transformers, model)(made, **pooled), torch.randint(0, 1000, (1, TOKENS))


def networks() -> Iterator[tuple[str, Callable[[], Made]]]:
    """Name, and what makes the network and an input."""
    yield from ((f"torchvision.{name}", partial(vision, name, size)) for name, size in TORCHVISION.items())
    yield from ((f"torchvision.{name}", partial(segmentation, name)) for name in SEGMENTATION)
    yield from ((f"torchvision.{name}", partial(video, name)) for name in VIDEO)
    yield from ((f"timm.{name}", partial(timm_model, name, size)) for name, size in TIMM.items())
    yield from ((f"transformers.{name}", partial(text, name)) for name in TEXT)
    yield "ocr.crnn", lambda: (Recognizer(), torch.randn(1, 1, 32, 128))
    yield "speech.gru", lambda: (Listener(), torch.randn(1, 40, 98))


def macs(model: nn.Module, given: torch.Tensor) -> int:
    """Of a sample, as PyTorch counts: half its operations, without those of modules that are given no tensor.

    Such modules make constants, as encodings of positions are, which exporters compute beforehand. Fused kernels for attention
    and recurrent layers, which are not counted, are switched off.
    """
    without: set[str] = set()

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def seen(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if name and not any(map(torch.is_tensor, tree_leaves((arguments, named)))):
                without.add(name)

        return seen

    for name, module in model.named_modules():
        module.register_forward_pre_hook(note(name), with_kwargs=True)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
        model(given)
    counts = {name.partition(".")[2]: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    outer = {name for name in without if not any(name.startswith(f"{one}.") for one in without)}
    return (counter.get_total_flops() - sum(counts.get(name, 0) for name in outer)) // 2


def write(folder: Path, name: str, make: Callable[[], Made]) -> None:
    """One network's two files."""
    import onnx

    torch.manual_seed(0)
    model, given = make()
    model = First(model).eval().requires_grad_(False)
    counted, path = macs(model, given), folder / f"{name}.onnx"
    for module in model.modules():
        module._forward_pre_hooks.clear()
    try:
        torch.onnx.export(model, (given,), str(path), dynamo=False, opset_version=17)
    except Exception:  # what the older exporter does not know, the newer one may
        torch.onnx.export(model, (given,), str(path), dynamo=True, external_data=False, verbose=False)
    file = onnx.load(str(path))
    for tensor in file.graph.initializer:  # weights are not looked at; shapes and axes are
        if len(tensor.raw_data) > 1 << 16:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="not.there")
    onnx.save(file, str(path))
    (folder / f"{name}.json").write_text(json.dumps({"macs": counted}))


def main(folder: Path, names: list[str]) -> None:
    """All networks that are not in the folder yet, or those named; one that cannot be written says why in its JSON."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in networks():
        if (not names or name in names) and not (folder / f"{name}.json").exists():
            print(name, flush=True)
            try:
                write(folder, name, make)
            except Exception as error:  # of the exporter
                (folder / f"{name}.json").write_text(json.dumps({"error": f"{type(error).__name__}: {str(error)[:200]}"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
