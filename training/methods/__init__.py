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
    decay-*               W·(E + (1-E)·D)    the same               dense
    patterns-*            W·E_in             W·E_in (dense)         dense
    random, random-erk    W·E_r              W·E_r (dense)          masked
    one-shot              W, at last W·E     W                      dense

Every module of this folder is looked through for classes with a `name`: a new method is one new file.
"""

from functools import cache
from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules

from hw.errors import InputError
from training.methods.method import Method


@cache
def registry() -> dict[str, type[Method]]:
    """All methods by name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    members = (member for module in modules for member in vars(module).values() if isclass(member))
    return {member.name: member for member in members if issubclass(member, Method) and hasattr(member, "name")}


def load(name: str) -> Method:
    """A method with its published constants; `InputError` names the allowed ones."""
    if name not in registry():
        raise InputError(f"unknown method {name!r}; allowed: {', '.join(sorted(registry()))}")
    return registry()[name]()
