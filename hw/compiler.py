"""The system's C++ compiler."""

import os
import shutil

from hw.errors import InputError


def cpp_compiler(wanted_by: str) -> str:
    """Path of the compiler that ``CXX`` names, or of the system's.

    Raises
    ------
    InputError
        If there is none: what `wanted_by` needs, and what to do.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    compiler = next((found for name in names if (found := shutil.which(name))), None)
    if compiler is None:
        raise InputError(f"{wanted_by} needs a C++ compiler, and none of {', '.join(names)} was found; install g++ or set CXX")
    return compiler
