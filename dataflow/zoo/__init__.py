"""The networks that the project knows by name, one file a family.

::

    digits   mlp, cnn            8x8x1, 10 classes: small enough for the RTL
    resnet   resnet9             32x32x3, 10 (CIFAR-10)
             resnet18            64x64x3, 200 (Tiny ImageNet), with the ImageNet stem
             resnet50            224x224x3, 1000 (ImageNet), stride in the 3x3 convolution
    vgg      vgg19               32x32x3, 100 (CIFAR-100)
    vit      vit                 32x32x3, 100 (CIFAR-100), patches of 4x4

``name/D`` is a narrow version of one, see `dataflow.zoo.scale`.
"""

from collections.abc import Callable
from dataclasses import replace

from dataflow.network import Network
from dataflow.zoo.digits import cnn, mlp
from dataflow.zoo.resnet import resnet9, resnet18, resnet50
from dataflow.zoo.scale import Scale, split
from dataflow.zoo.vgg import vgg19
from dataflow.zoo.vit import vit
from hw.errors import InputError

_BUILDERS: dict[str, Callable[[Scale], Network]] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet9": resnet9,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "vgg19": vgg19,
    "vit": vit,
}

NAMES = tuple(_BUILDERS)


def load(name: str) -> Network:
    """A network by its name in `NAMES`, or a narrow version of it by ``name/D``; `InputError` names the allowed ones."""
    kind, scale = split(name)
    if kind not in _BUILDERS:
        raise InputError(f"unknown workload {name!r}; allowed: {', '.join(NAMES)}")
    network = _BUILDERS[kind](scale)
    return network if scale.divisor == 1 else replace(network, name=name)


def is_narrow(name: str) -> bool:
    """Whether a name is that of a narrow version."""
    kind, _, divisor = name.partition("/")
    return kind in _BUILDERS and divisor.isdecimal() and int(divisor) > 1
