"""Vision transformer, pre-norm (Dosovitskiy et al., 2021), for 32x32 images."""

from dataflow.network import INPUT, Add, Conv, Layer, Linear, Network
from dataflow.rearrange import Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax

WIDTH, DEPTH, HEADS, MLP, PATCH = 512, 6, 8, 512, 4
TOKENS = (32 // PATCH) ** 2 + 1


def vit() -> Network:
    """Patches of 4x4 (64 tokens and the class token), width 512, 6 blocks of 8 heads of 64, MLP of 512, 100 classes."""
    layers: list[Layer] = [
        Conv(name="patch", inputs=(INPUT,), out_channels=WIDTH, kernel=PATCH, stride=PATCH, bias=True),
        Embed(name="embed", inputs=("patch",)),
    ]
    for index in range(1, DEPTH + 1):
        layers += _attention(f"block{index}", layers[-1].name)
        layers += _mlp(f"block{index}", layers[-1].name)
    layers += [
        Select(name="class", inputs=(layers[-1].name,)),
        LayerNorm(name="norm", inputs=("class",)),
        Linear(name="head", inputs=("norm",), out_features=100),
    ]
    return Network(name="vit", input_shape=(32, 32, 3), layers=tuple(layers))


def _attention(block: str, source: str) -> list[Layer]:
    """Queries, keys and values of all heads in one product; scores, softmax, their product with the values; projection."""
    name = f"{block}.attention"
    layers: list[Layer] = [
        LayerNorm(name=f"{name}.norm", inputs=(source,)),
        Linear(name=f"{name}.qkv", inputs=(f"{name}.norm",), out_features=3 * WIDTH),
    ]
    for place, part in enumerate(("query", "key", "value")):
        layers += _heads(f"{name}.{part}", f"{name}.qkv", place)
    return [
        *layers,
        MatMul(name=f"{name}.scores", inputs=(f"{name}.query", f"{name}.key"), transposed=True),
        Softmax(name=f"{name}.softmax", inputs=(f"{name}.scores",)),
        MatMul(name=f"{name}.mix", inputs=(f"{name}.softmax", f"{name}.value")),
        Transpose(name=f"{name}.tokens", inputs=(f"{name}.mix",), axes=(1, 0, 2)),
        Reshape(name=f"{name}.joined", inputs=(f"{name}.tokens",), shape=(TOKENS, WIDTH)),
        Linear(name=f"{name}.project", inputs=(f"{name}.joined",), out_features=WIDTH),
        Add(name=f"{name}.add", inputs=(f"{name}.project", source)),
    ]


def _heads(name: str, source: str, place: int) -> list[Layer]:
    """A third of the features as (heads, tokens, features of a head)."""
    return [
        Slice(name=f"{name}.all", inputs=(source,), axis=1, start=place * WIDTH, size=WIDTH),
        Reshape(name=f"{name}.split", inputs=(f"{name}.all",), shape=(TOKENS, HEADS, WIDTH // HEADS)),
        Transpose(name=name, inputs=(f"{name}.split",), axes=(1, 0, 2)),
    ]


def _mlp(block: str, source: str) -> list[Layer]:
    name = f"{block}.mlp"
    return [
        LayerNorm(name=f"{name}.norm", inputs=(source,)),
        Linear(name=f"{name}.fc1", inputs=(f"{name}.norm",), out_features=MLP),
        Activation(name=f"{name}.gelu", inputs=(f"{name}.fc1",), kind="gelu"),
        Linear(name=f"{name}.fc2", inputs=(f"{name}.gelu",), out_features=WIDTH),
        Add(name=f"{name}.add", inputs=(f"{name}.fc2", source)),
    ]
