"""Two networks for 8x8 digit images, small enough to run on the RTL."""

from dataflow.network import Network
from dataflow.zoo.chain import Chain
from dataflow.zoo.scale import Scale

_PLAIN = Scale()

DIGITS = (8, 8, 1)


def mlp(scale: Scale = _PLAIN) -> Network:
    """Linear 64, 64, 10 with ReLU between."""
    wide = scale.channels
    chain = Chain().flatten().linear("fc1", wide(64)).relu().linear("fc2", wide(64)).relu().linear("fc3", 10)
    return chain.network("mlp", DIGITS)


def cnn(scale: Scale = _PLAIN) -> Network:
    """Three 3x3 convolutions of 16, 32 (stride 2) and 32 channels with bias and ReLU, global mean, linear 10."""
    wide = scale.channels
    chain = Chain().conv("conv1", wide(16), 3, bias=True).relu()
    chain.conv("conv2", wide(32), 3, stride=2, bias=True).relu()
    chain.conv("conv3", wide(32), 3, bias=True).relu()
    return chain.global_pool("mean").linear("fc", 10).network("cnn", DIGITS)
