"""Windows of ONNX convolutions and pools: kernel, strides, dilations, pads and auto_pad."""

from typing import Any

from dataflow.axes import Axis
from dataflow.network import MOST_SIZE
from hw.errors import InputError

AUTO_PAD = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def read_windows(where: str, attributes: dict[str, Any], kernel: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Axis, ...]:
    """One window for each spatial axis.

    Parameters
    ----------
    where : str
        The node, for messages.
    attributes : dict
        Of the node, by name.
    kernel, sizes : tuple of int
        Of the window, and of the input along each spatial axis.
    """
    count = len(sizes)
    strides, dilations = (_per_axis(where, attributes, name, count) for name in ("strides", "dilations"))
    auto = attributes.get("auto_pad", b"NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    if auto not in AUTO_PAD:
        raise InputError(f"{where}: auto_pad must be one of {', '.join(AUTO_PAD)}, not {auto!r}")
    pads = list(attributes.get("pads") or [0] * (2 * count))
    if len(pads) != 2 * count or min(pads, default=0) < 0:
        raise InputError(f"{where}: pads must be {2 * count} numbers of at least 0, not {pads}")
    axes = []
    if max((*kernel, *strides, *dilations, *pads), default=0) > MOST_SIZE:
        raise InputError(f"{where}: a window is too large: kernel, strides, dilations and pads must be at most {MOST_SIZE:,}")
    for place, size in enumerate(sizes):
        before, after = pads[place], pads[count + place]
        if auto != "NOTSET":
            before, after = _automatic(auto, size, kernel[place], strides[place], dilations[place])
        axes.append(Axis(kernel[place], strides[place], before, after, dilations[place]))
    return tuple(axes)


def _automatic(auto: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding such that there are ``ceil(size / stride)`` outputs; the odd one goes to the named side."""
    if auto == "VALID":
        return 0, 0
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size)
    less, more = total // 2, total - total // 2
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def _per_axis(where: str, attributes: dict[str, Any], name: str, count: int) -> tuple[int, ...]:
    values = tuple(attributes.get(name) or (1,) * count)
    if len(values) != count or min(values) < 1:
        raise InputError(f"{where}: {name} must be {count} numbers of at least 1, not {list(values)}")
    return values
