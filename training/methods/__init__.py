"""Training methods: which products read pruned weights, one file each.

E marks the N kept of every M weights, chosen anew from the dense master at each step; ``_in`` groups along input channels
and ``_out`` along output channels.

::

                          forward            input gradient         weight gradient
    dense                 W                  W                      dense
    srste                 W·E_in             W·E_in (dense)         dense + λ_w (1 - E_in) W
    sdgp, sdgp-maxnorm    W                  W, dy·E                dense
    sdwp                  W                  W·E_out                dense
    bdwp                  W·E_in             W·E_out                dense
    bdwp-srste            W·E_in             W·E_out                dense + λ_w (1 - E_in) W
    bdwp-mvue             W·E_in             W·E_out                N:M sample of dy
    bimask                W·E_in             W·E_in·E_out'          dense + λ_w (1 - E_in) W
    transposable          W·E_t              W·E_t                  dense
    pretrain-2by4         W·E_t              W·E_t                  N:M sample of dy + λ_w (1 - E_t) W; dense at the end
    s-ste                 β·S(W)             β·S(W) (dense)         N:M sample of dy; S a soft threshold
    slope                 W·E_r              W·E_r·E_out            masked by E_r
    decay-*               W·(E + (1-E)·D)    the same               dense
    patterns-*            W·E_in             W·E_in (dense)         dense
    random, random-erk    W·E_r              W·E_r (dense)          masked
    one-shot              W, at last W·E     W                      dense

Every module of this folder is looked through for classes with a `name`: a new method is one new file. A method's fields are
its constants, as published unless they are set.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from inspect import isclass
from math import isfinite
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from hw.errors import InputError
from hw.inputs import run_python, shown, whole
from training.methods.method import Method

MOST = (1 << 31) - 1
"""Of a constant that is a whole number."""

NOTHING: Mapping[str, str] = MappingProxyType({})


@cache
def registry() -> dict[str, type[Method]]:
    """All methods by name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    return {found.name: found for module in modules for found in _methods(vars(module).values())}


def load(name: str, settings: Mapping[str, str] = NOTHING) -> Method:
    """A method with its published constants, or with `settings` in place of some.

    Parameters
    ----------
    name : str
        In `registry`, or a Python file that defines one method.
    settings : mapping of str to str
        Constants by name, as text.

    Raises
    ------
    InputError
        Where there is no such method or constant, or a value cannot be; it names the allowed ones.
    """
    found = read_method(Path(name)) if name.endswith(".py") else _registered(name)
    try:
        default = found()
    except TypeError:
        raise InputError(f"method {found.name!r}: a constant has no default") from None
    known = constants(found)
    for constant in settings:
        if constant not in known:
            raise InputError(f"method {found.name!r} has no constant {shown(constant)}; it has: {', '.join(known) or 'none'}")
    given: dict[str, Any] = {name: _read(f"{name}=", text, getattr(default, name)) for name, text in settings.items()}
    return replace(default, **given)


def constants(method: type[Method]) -> tuple[str, ...]:
    """Names of a method's constants."""
    return tuple(field.name for field in fields(method))


def read_method(path: Path) -> type[Method]:
    """Run a Python file, and take the method that it defines; `InputError` where it fails, or there is not one."""
    own = [one for one in _methods(run_python(path).values()) if one.__module__ == "<run_path>"]
    if len(own) != 1:
        count = "no method" if not own else f"{len(own)} methods"
        raise InputError(f"{path}: must define one subclass of training.methods.method.Method with a name, not {count}")
    return own[0]


def _registered(name: str) -> type[Method]:
    if name not in registry():
        raise InputError(f"unknown method {name!r}; allowed: {', '.join(sorted(registry()))}, or a Python file")
    return registry()[name]


def _methods(members: Iterable[object]) -> list[type[Method]]:
    return [one for one in members if isclass(one) and issubclass(one, Method) and hasattr(one, "name")]


def _read(what: str, text: str, default: object) -> bool | int | float | str:
    """A constant of the kind of its default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int):
            return whole(text, MOST)
        if isinstance(default, float) and isfinite(number := float(text)):
            return number
    except (KeyError, ValueError, InputError):
        pass
    else:
        if isinstance(default, str):
            return text
    kind = {bool: "true or false", int: f"a whole number, 0..{MOST}"}.get(type(default), "a finite number")
    raise InputError(f"{what}{shown(text)}: must be {kind}")
