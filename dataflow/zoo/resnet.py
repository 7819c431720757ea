"""Residual networks (He et al., 2016)."""

from dataflow.network import Network
from dataflow.zoo.chain import Chain
from dataflow.zoo.scale import Scale

_WIDTHS = (64, 128, 256, 512)
_PLAIN = Scale()


def resnet9(scale: Scale = _PLAIN) -> Network:
    """The nine-layer residual network of fast CIFAR-10 training, with a global maximum before the classifier."""
    wide, side = scale.channels, scale.side(32, 16)
    chain = Chain().conv_norm("conv1", wide(64), 3).relu()
    chain.conv_norm("conv2", wide(128), 3).relu().max_pool("pool2", 2, stride=2)
    _plain_residual(chain, "res1", wide(128))
    chain.conv_norm("conv3", wide(256), 3).relu().max_pool("pool3", 2, stride=2)
    chain.conv_norm("conv4", wide(512), 3).relu().max_pool("pool4", 2, stride=2)
    _plain_residual(chain, "res2", wide(512))
    return chain.global_pool("max").linear("fc", scale.classes(10)).network("resnet9", (side, side, 3))


def resnet18(scale: Scale = _PLAIN) -> Network:
    """Four stages of two basic blocks behind the ImageNet stem, for 64x64 images of 200 classes."""
    wide, side = scale.channels, scale.side(64, 32)
    chain = _stem(wide(64))
    for stage, width in enumerate(_WIDTHS, 1):
        for block in (1, 2):
            _basic_block(chain, f"layer{stage}.{block}", wide(width), stride=2 if stage > 1 and block == 1 else 1)
    return chain.global_pool("mean").linear("fc", scale.classes(200)).network("resnet18", (side, side, 3))


def resnet50(scale: Scale = _PLAIN) -> Network:
    """Four stages of 3, 4, 6 and 3 bottleneck blocks, stride in the 3x3 convolution, for 224x224 images."""
    wide, side = scale.channels, scale.side(224, 32)
    chain = _stem(wide(64))
    for stage, (width, blocks) in enumerate(zip(_WIDTHS, (3, 4, 6, 3), strict=True), 1):
        for block in range(1, scale.blocks(blocks) + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            _bottleneck(chain, f"layer{stage}.{block}", wide(width), stride=stride, project=block == 1)
    return chain.global_pool("mean").linear("fc", scale.classes(1000)).network("resnet50", (side, side, 3))


def _stem(width: int) -> Chain:
    return Chain().conv_norm("conv1", width, 7, stride=2).relu().max_pool("pool1", 3, stride=2, padding=1)


def _plain_residual(chain: Chain, name: str, width: int) -> None:
    """Two convolutions, each with ReLU, around which the input is added."""
    start = chain.last
    chain.conv_norm(f"{name}.conv1", width, 3).relu().conv_norm(f"{name}.conv2", width, 3).relu().add(f"{name}.add", start)


def _basic_block(chain: Chain, name: str, width: int, *, stride: int) -> None:
    start = chain.last
    chain.conv_norm(f"{name}.conv1", width, 3, stride=stride).relu().conv_norm(f"{name}.conv2", width, 3)
    _join(chain, name, start, width, stride=stride, project=stride > 1)


def _bottleneck(chain: Chain, name: str, width: int, *, stride: int, project: bool) -> None:
    start = chain.last
    chain.conv_norm(f"{name}.conv1", width, 1).relu().conv_norm(f"{name}.conv2", width, 3, stride=stride).relu()
    chain.conv_norm(f"{name}.conv3", 4 * width, 1)
    _join(chain, name, start, 4 * width, stride=stride, project=project)


def _join(chain: Chain, name: str, start: str, channels: int, *, stride: int, project: bool) -> None:
    """Add the block's input, through a 1x1 convolution where shapes differ, then ReLU."""
    branch = chain.last
    shortcut = chain.at(start).conv_norm(f"{name}.project", channels, 1, stride=stride).last if project else start
    chain.at(branch).add(f"{name}.add", shortcut).relu()
