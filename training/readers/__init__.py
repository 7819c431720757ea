"""Data sets from a path that the user gives: ``NAME:PATH``, ``FILE.npz`` or ``FILE.py``.

::

    FILE.npz               arrays train_images, train_labels, test_images, test_labels
    mnist                  the folder with the four IDX files
    folder                 a folder with train/<class>/ and test/<class>/ of pictures
    FILE.py                a Python file that sets `data`
    cifar10, cifar100      the binary or the Python archive, packed (.tar.gz) or unpacked
    tiny-imagenet          the folder with wnids.txt, train and val
    imagenet               a folder with train/<class>/ and val/<class>/ of pictures, augmented

    form        what is asked for beside: size, normalisation, augmentation
    arrays      checks arrays; IDX files
    files       members of a folder or an archive, missing ones named
    pickles     reads the Python archives without running them
    pictures    decodes JPEG and PNG when a batch asks for them
    augment     random crops and flips
"""

from collections.abc import Callable
from pathlib import Path

from hw.errors import InputError
from hw.inputs import run_python
from training.data import Data
from training.readers.arrays import mnist, npz
from training.readers.cifar import cifar10, cifar100
from training.readers.form import Form
from training.readers.imagenet import folder, imagenet, tiny_imagenet

READERS: dict[str, Callable[[Path], Data]] = {
    "mnist": mnist,
    "folder": folder,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "tiny-imagenet": tiny_imagenet,
    "imagenet": imagenet,
}
FILES = (".npz", ".py")


def read(name: str, form: Form, known: list[str]) -> Data:
    """The data set of a path; `known` are names that need none, for the message."""
    kind, _, path = name.partition(":")
    if kind in READERS:
        if not path:
            raise InputError(f"data {kind!r} needs a path: {kind}:PATH")
        return folder(Path(path), form.image_size) if kind == "folder" else READERS[kind](Path(path))
    suffix = Path(name).suffix
    if suffix not in FILES:
        allowed = [*known, *(f"{reader}:PATH" for reader in READERS), *(f"FILE{one}" for one in FILES)]
        raise InputError(f"unknown data {name!r}; allowed: {', '.join(allowed)}")
    return npz(Path(name)) if suffix == ".npz" else python_file(Path(name))


def python_file(path: Path) -> Data:
    """Run the file and take its `data`; `InputError` where it fails, or has none."""
    data = run_python(path).get("data")
    if not isinstance(data, Data):
        raise InputError(f"{path}: must set data to a training.data.Data, not to {type(data).__name__}")
    return data
