"""The units as a library: mypyc makes it of their source, and it does the same some times as fast.

::

    python -m dataflow.machine.compiled          makes it once and keeps it by the content of all that it was made of
    import dataflow.machine.units                takes what was made of this very source, or else the source itself

Without a C compiler or mypyc nothing is made, and nothing is missed but time.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory

from hw.cache import cache_folder, keep, sealed

ROOT = Path(__file__).parents[2]
SUFFIX = EXTENSION_SUFFIXES[0]
GROUP = "nmtrain_units"
LIBRARY = f"{GROUP}__mypyc"
"""The module that has them all, as mypyc calls it."""
BUILD = f"""
from pathlib import Path
from mypyc.build import mypycify
from setuptools import setup
sources = sorted(str(path) for path in Path("dataflow/machine/units").glob("*.py") if path.stem != "__init__")
options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
setup(name={GROUP!r}, packages=[], ext_modules=mypycify([*options, *sources], group_name={GROUP!r}))
"""


def content(root: Path = ROOT) -> str:
    """Hash of all that decides what the units do: their source, and that of the commands."""
    units, isa = root / "dataflow" / "machine" / "units", root / "hw" / "isa"
    sources = [*sorted(units.glob("*.py")), *sorted(isa.glob("*.py")), isa.parent / "config.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def place(content: str) -> Path:
    """Where the library of such sources is kept, for this interpreter."""
    told = f"{content} {sys.version} {SUFFIX}"
    return cache_folder() / f"units-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def names() -> list[str]:
    """Files of the library: one of each unit, then the one that has them all."""
    units = sorted(path.stem for path in (Path(__file__).parent / "units").glob("*.py"))
    return [f"{name}{SUFFIX}" for name in (*units, LIBRARY) if name != "__init__"]


def is_made(folder: Path) -> bool:
    """Whether all of the library is there, as it was written."""
    return all(sealed(folder / name) is not None for name in names())


def path() -> list[str]:
    """Folders in which the units are found before their source: that of the library, which is loaded, or none."""
    folder = place(content())
    if not is_made(folder):
        return []
    spec = spec_from_file_location(LIBRARY, folder / names()[-1])
    assert spec and spec.loader  # as of any extension module
    try:
        library = module_from_spec(spec)
        spec.loader.exec_module(library)
    except ImportError:  # made on another computer
        return []
    sys.modules[LIBRARY] = library
    return [str(folder)]


def make() -> bool:
    """Make the library where it is not there; whether it is there now."""
    if is_made(place(content())):
        return True
    if not (shutil.which(os.environ.get("CC", "cc")) and find_spec("mypyc") and find_spec("setuptools")):
        return False
    print("compiling the machine's units, once ...", flush=True)
    with TemporaryDirectory() as made:
        root = Path(made)
        for package in ("hw", "dataflow"):  # what is compiled is what the hash is of
            shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-c", BUILD, "-q", "build_ext", "--build-lib", "out"]
        environment = {**os.environ, "MYPYPATH": "."}
        told = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        found = {path.name: path for path in (root / "out").rglob("*") if path.is_file()}
        if told.returncode or set(names()) - set(found):
            print("they cannot be compiled and run as they are:", *told.stderr.splitlines()[-1:])
            return False
        folder = place(content(root))
        for name in names():
            keep(folder / name, found[name].read_bytes())
    return True


if __name__ == "__main__":
    make()
