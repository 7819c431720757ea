"""Vision transformer, pre-norm (Dosovitskiy et al., 2021), for 32x32 images."""

from dataclasses import dataclass

from dataflow.network import INPUT, Add, Conv, Layer, Linear, Network
from dataflow.rearrange import Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax
from dataflow.zoo.scale import Scale

HEADS, FEATURES, DEPTH, MLP, PATCH = 8, 64, 6, 512, 4
_PLAIN = Scale()


@dataclass(frozen=True)
class _Sizes:
    """Of a block: tokens, features of a head and of the layer in the middle."""

    tokens: int
    features: int
    hidden: int

    @property
    def width(self) -> int:
        return HEADS * self.features


def vit(scale: Scale = _PLAIN) -> Network:
    """Patches of 4x4 (64 tokens and the class token), width 512, 6 blocks of 8 heads of 64, MLP of 512, 100 classes."""
    side = scale.side(32, 2 * PATCH)
    sizes = _Sizes((side // PATCH) ** 2 + 1, scale.channels(FEATURES), scale.channels(MLP))
    layers: list[Layer] = [
        Conv(name="patch", inputs=(INPUT,), out_channels=sizes.width, kernel=PATCH, stride=PATCH, bias=True),
        Embed(name="embed", inputs=("patch",)),
    ]
    for index in range(1, scale.blocks(DEPTH) + 1):
        layers += _attention(f"block{index}", layers[-1].name, sizes)
        layers += _mlp(f"block{index}", layers[-1].name, sizes)
    layers += [
        Select(name="class", inputs=(layers[-1].name,)),
        LayerNorm(name="norm", inputs=("class",)),
        Linear(name="head", inputs=("norm",), out_features=scale.classes(100)),
    ]
    return Network(name="vit", input_shape=(side, side, 3), layers=tuple(layers))


def _attention(block: str, source: str, sizes: _Sizes) -> list[Layer]:
    """Queries, keys and values of all heads in one product; scaled scores, softmax, the mix of values; projection."""
    name = f"{block}.attention"
    layers: list[Layer] = [
        LayerNorm(name=f"{name}.norm", inputs=(source,)),
        Linear(name=f"{name}.qkv", inputs=(f"{name}.norm",), out_features=3 * sizes.width),
    ]
    for place, part in enumerate(("query", "key", "value")):
        layers += _heads(f"{name}.{part}", f"{name}.qkv", place, sizes)
    return [
        *layers,
        MatMul(name=f"{name}.scores", inputs=(f"{name}.query", f"{name}.key"), transposed=True, scale=sizes.features**-0.5),
        Softmax(name=f"{name}.softmax", inputs=(f"{name}.scores",)),
        MatMul(name=f"{name}.mix", inputs=(f"{name}.softmax", f"{name}.value")),
        Transpose(name=f"{name}.tokens", inputs=(f"{name}.mix",), axes=(1, 0, 2)),
        Reshape(name=f"{name}.joined", inputs=(f"{name}.tokens",), shape=(sizes.tokens, sizes.width)),
        Linear(name=f"{name}.project", inputs=(f"{name}.joined",), out_features=sizes.width),
        Add(name=f"{name}.add", inputs=(f"{name}.project", source)),
    ]


def _heads(name: str, source: str, place: int, sizes: _Sizes) -> list[Layer]:
    """A third of the features as (heads, tokens, features of a head)."""
    width = sizes.width
    return [
        Slice(name=f"{name}.all", inputs=(source,), axis=1, start=place * width, size=width),
        Reshape(name=f"{name}.split", inputs=(f"{name}.all",), shape=(sizes.tokens, HEADS, sizes.features)),
        Transpose(name=name, inputs=(f"{name}.split",), axes=(1, 0, 2)),
    ]


def _mlp(block: str, source: str, sizes: _Sizes) -> list[Layer]:
    name = f"{block}.mlp"
    return [
        LayerNorm(name=f"{name}.norm", inputs=(source,)),
        Linear(name=f"{name}.fc1", inputs=(f"{name}.norm",), out_features=sizes.hidden),
        Activation(name=f"{name}.gelu", inputs=(f"{name}.fc1",), kind="gelu"),
        Linear(name=f"{name}.fc2", inputs=(f"{name}.gelu",), out_features=sizes.width),
        Add(name=f"{name}.add", inputs=(f"{name}.fc2", source)),
    ]
