"""VGG with batch norm for 32x32 images (Simonyan and Zisserman, 2015; one linear layer, as usual on CIFAR)."""

from dataflow.network import Network
from dataflow.zoo.chain import Chain
from dataflow.zoo.scale import Scale

_GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


_PLAIN = Scale()


def vgg19(scale: Scale = _PLAIN) -> Network:
    """Sixteen 3x3 convolutions in five groups, each group followed by a 2x2 pool; linear 512 to 100."""
    chain = Chain()
    for group, (channels, convolutions) in enumerate(_GROUPS, 1):
        for index in range(1, scale.blocks(convolutions) + 1):
            chain.conv_norm(f"conv{group}_{index}", scale.channels(channels), 3).relu()
        chain.max_pool(f"pool{group}", 2, stride=2)
    return chain.flatten().linear("fc", scale.classes(100)).network("vgg19", (32, 32, 3))
