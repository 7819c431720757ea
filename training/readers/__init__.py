"""Data sets from a path that the user gives: ``NAME:PATH``.

::

    cifar10, cifar100      the binary or the Python archive, packed (.tar.gz) or unpacked
    tiny-imagenet          the folder with wnids.txt, train and val
    imagenet               a folder with train/<class>/ and val/<class>/ of pictures

    files       members of a folder or an archive, missing ones named
    pickles     reads the Python archives without running them
    pictures    decodes JPEG and PNG when a batch asks for them
    augment     random crops and flips
"""

from collections.abc import Callable
from pathlib import Path

from training.data import Data
from training.readers.cifar import cifar10, cifar100
from training.readers.imagenet import imagenet, tiny_imagenet

READERS: dict[str, Callable[[Path], Data]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "tiny-imagenet": tiny_imagenet,
    "imagenet": imagenet,
}
