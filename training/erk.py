"""Layer densities by Erdős-Rényi-Kernel."""

from collections.abc import Mapping
from math import prod

from dataflow.network import Shape


def erk_densities(shapes: Mapping[str, Shape], density: float) -> dict[str, float]:
    """Densities in proportion to (sum of dimensions) / (product of dimensions) that keep `density` of all weights.

    A layer that would need more than 1 stays dense, and the rest is solved again. Evci et al., *Rigging the lottery*, ICML
    2020, after Mocanu et al., 2018.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Weights of each layer.
    density : float
        Kept of all weights together, above 0, at most 1.

    Returns
    -------
    dict of str to float
        Above 0, at most 1.
    """
    dense: set[str] = set()
    while True:
        budget = density * sum(map(prod, shapes.values())) - sum(prod(shapes[name]) for name in dense)
        rest = {name: sum(shape) for name, shape in shapes.items() if name not in dense}
        scale = budget / sum(rest.values()) if rest else 0.0
        saturated = {name for name, dimensions in rest.items() if scale * dimensions / prod(shapes[name]) > 1}
        if not saturated:
            sparse = {name: scale * dimensions / prod(shapes[name]) for name, dimensions in rest.items()}
            return {name: sparse.get(name, 1.0) for name in shapes}
        dense |= saturated
