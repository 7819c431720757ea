"""Two networks for 8x8 digit images, small enough to run on the RTL."""

from dataflow.network import Network
from dataflow.zoo.chain import Chain

DIGITS = (8, 8, 1)


def mlp() -> Network:
    """Linear 64, 64, 10 with ReLU between."""
    chain = Chain().flatten().linear("fc1", 64).relu().linear("fc2", 64).relu().linear("fc3", 10)
    return chain.network("mlp", DIGITS)


def cnn() -> Network:
    """Three 3x3 convolutions of 16, 32 (stride 2) and 32 channels with bias and ReLU, global mean, linear 10."""
    chain = Chain().conv("conv1", 16, 3, bias=True).relu()
    chain.conv("conv2", 32, 3, stride=2, bias=True).relu()
    chain.conv("conv3", 32, 3, bias=True).relu()
    return chain.global_pool("mean").linear("fc", 10).network("cnn", DIGITS)
