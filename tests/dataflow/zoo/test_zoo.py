"""The zoo's networks are the ones that everyone knows by these names: sizes published or derived beside each."""

import pytest

from dataflow import zoo
from hw.errors import InputError


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mlp", (64 * 64 + 64) * 2 + 64 * 10 + 10),
        ("cnn", (9 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 32 + 32) + 32 * 10 + 10),
        ("resnet9", 6_573_130),  # DAWNBench's 6,573,120 has no bias in the classifier
        ("resnet18", 11_689_512 - 513 * 1000 + 513 * 200),  # torchvision's, its classifier for 200 instead of 1000 classes
        ("resnet50", 25_557_032),  # torchvision's
        ("vit", 6 * (4 * 513 * 512 + 2 * 513 * 512 + 4 * 512) + 49 * 512 + 66 * 512 + 2 * 512 + 513 * 100),
        ("vgg19", 20_018_880 + 2 * 5_504 + 513 * 100),  # torchvision's convolutions, batch norm, classifier
    ],
)
def test_parameters(name, parameters):
    assert zoo.load(name).parameters == parameters


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("mlp", 64 * 64 * 2 + 640),
        ("cnn", 64 * 9 * 16 + 16 * 9 * 16 * 32 + 16 * 9 * 32 * 32 + 320),
        # linear layers of 6 blocks on 65 tokens, both products of attention, patches, classifier
        ("vit", 6 * (65 * 512 * 512 * 6 + 2 * 65 * 65 * 512) + 64 * 48 * 512 + 51_200),
        ("resnet50", 4_089_184_256),  # the 4.09 GMAC of the network with its stride in the 3x3 convolution
    ],
)
def test_forward_macs(name, macs):
    assert zoo.load(name).forward_macs == macs


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_network_loads_under_its_name(name):
    network = zoo.load(name)
    assert network.name == name
    assert network.classes == {"resnet18": 200, "resnet50": 1000, "vgg19": 100, "vit": 100}.get(name, 10)


def test_unknown_name_is_one_line_with_the_allowed_ones():
    allowed = "mlp, cnn, resnet9, resnet18, resnet50, vgg19, vit"
    with pytest.raises(InputError, match=f"^unknown workload 'alexnet'; allowed: {allowed}$"):
        zoo.load("alexnet")
