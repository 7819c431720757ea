"""What a training's metrics say of its steps: how large gradients are, and how fast masks change."""

from collections.abc import Iterable

import numpy as np

from training.layers.module import Parameter
from training.layers.weighted import Weighted
from training.model import Model
from training.nm import Packed
from training.operand import Operand, kept_mask


def gradient_norm(parameters: Iterable[tuple[str, Parameter]], scale: float) -> float:
    """Square root of the sum of all gradients' squares, of the loss without its `scale`; infinite where one is not finite."""
    with np.errstate(all="ignore"):
        total = sum(float(np.square(parameter.gradient, dtype=np.float64).sum()) for _, parameter in parameters)
    return float(np.sqrt(total)) / scale if np.isfinite(total) else float("inf")


def packed_operands(model: Model) -> dict[str, Operand]:
    """Of each layer the packed weights that its forward product reads, or its input gradient's, if any."""
    found: dict[str, Operand] = {}
    for name, module in model.modules.items():
        if isinstance(module, Weighted):
            packed = [one for one in (module.forward_operand, module.backward_operand) if isinstance(one.weights, Packed)]
            found |= {name: packed[0]} if packed else {}
    return found


def mask_change(before: dict[str, Operand], after: dict[str, Operand]) -> float | None:
    """Share of the weights whose mask an update changed, of those in `before` and `after`; None where there is none.

    The flip rate of Hu et al., ICML 2024, whose mask is 1 where a weight is kept.
    """
    layers = before.keys() & after.keys()
    total = sum(after[name].channels * int(np.prod(after[name].lead)) for name in layers)
    return sum(_changed(before[name], after[name]) for name in layers) / total if total else None


def _changed(before: Operand, after: Operand) -> int:
    """Weights that one of two masks keeps and the other prunes."""
    old, new = before.weights, after.weights
    if not (isinstance(old, Packed) and isinstance(new, Packed)):
        return 0
    if before.ratio == after.ratio:
        in_both = sum(int((old.indices == np.roll(new.indices, place, axis=-1)).sum()) for place in range(after.ratio.n))
        return 2 * (new.indices.size - in_both)
    return int((kept_mask(before) != kept_mask(after)).sum())
