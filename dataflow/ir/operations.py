"""What the vector unit is asked to do with the elements that pass it: one small class for each operation.

::

    sums of products, or a tensor ──► Convert ─► Sum ─► Relu ──► a tensor
                                                 ▲       │
                                    other operands       └──► a mask

An operation takes the value that the one before it left, and its operands by name. From it follow the text for people, the
traffic of the step, and the accelerator's commands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True)
class Operand:
    """A tensor as a command reads or writes it.

    Parameters
    ----------
    tensor : str
        Its name.
    layer : str
        The layer whose output has its shape.
    size_bytes : int
        Memory traffic of one access.
    """

    tensor: str
    layer: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation.

    Parameters
    ----------
    layer : str
        The layer whose work it is.
    """

    TEXT: ClassVar[str]
    WRITES: ClassVar[tuple[str, ...]] = ()
    """Operands that are written; the others are read."""

    layer: str

    @property
    def text(self) -> str:
        """What people call it."""
        return self.TEXT.format(kind=getattr(self, "kind", ""))

    @property
    def reads(self) -> tuple[Operand, ...]:
        """What it reads, beside the value that passes."""
        return tuple(operand for name, operand in self._operands() if name not in self.WRITES)

    @property
    def writes(self) -> tuple[Operand, ...]:
        """What it writes, beside the value that passes."""
        return tuple(operand for name, operand in self._operands() if name in self.WRITES)

    def _operands(self) -> Iterator[tuple[str, Operand]]:
        for entry in fields(self):
            value = getattr(self, entry.name)
            values = value if isinstance(value, tuple) else (value,)
            yield from ((entry.name, operand) for operand in values if isinstance(operand, Operand))


@dataclass(frozen=True, kw_only=True)
class Bias(Operation):
    """Add the layer's bias of each channel."""

    TEXT = "bias"


@dataclass(frozen=True, kw_only=True)
class Scale(Operation):
    """Multiply by a number, as binary32."""

    TEXT = "scale"
    factor: float


@dataclass(frozen=True, kw_only=True)
class Convert(Operation):
    """Round to the storage format."""

    TEXT = "convert"


@dataclass(frozen=True, kw_only=True)
class Relu(Operation):
    """Zero where not above zero; a bit an element says where."""

    TEXT, WRITES = "relu", ("mask",)
    mask: Operand


@dataclass(frozen=True, kw_only=True)
class Mask(Operation):
    """The gradient of the layer's ReLU."""

    TEXT = "mask"
    mask: Operand


@dataclass(frozen=True, kw_only=True)
class Activate(Operation):
    """A function of each element whose gradient needs what it read."""

    TEXT, WRITES = "{kind}", ("kept",)
    kind: str
    kept: Operand


@dataclass(frozen=True, kw_only=True)
class ActivationGradient(Operation):
    """Its gradient."""

    TEXT = "{kind} gradient"
    kind: str
    kept: Operand


@dataclass(frozen=True, kw_only=True)
class Map(Operation):
    """A function of each element whose gradient needs no operand."""

    TEXT = "{kind}"
    kind: str


@dataclass(frozen=True, kw_only=True)
class MapGradient(Operation):
    """Its gradient."""

    TEXT = "{kind} gradient"
    kind: str


@dataclass(frozen=True, kw_only=True)
class Sum(Operation):
    """Add other tensors; several are added up first, in their order."""

    TEXT = "add"
    others: tuple[Operand, ...]


@dataclass(frozen=True, kw_only=True)
class Combine(Operation):
    """A function of each element and those of other tensors."""

    TEXT = "{kind}"
    kind: str
    others: tuple[Operand, ...]


@dataclass(frozen=True, kw_only=True)
class CombineGradient(Operation):
    """The gradient of one side, which needs the other."""

    TEXT = "{kind} gradient"
    kind: str
    other: Operand


@dataclass(frozen=True, kw_only=True)
class Statistics(Operation):
    """What a normalisation needs to know of all elements that it covers."""

    TEXT = "statistics"


@dataclass(frozen=True, kw_only=True)
class Normalise(Operation):
    """A normalisation, or a softmax, by statistics that were taken before."""

    TEXT = "normalise"


@dataclass(frozen=True, kw_only=True)
class GradientSums(Operation):
    """What the gradient of a normalisation needs to know of all elements that it covers."""

    TEXT = "gradient sums"
    value: Operand


@dataclass(frozen=True, kw_only=True)
class NormaliseGradient(Operation):
    """Its gradient, by these sums."""

    TEXT = "normalise gradient"
    value: Operand


@dataclass(frozen=True, kw_only=True)
class Softmax(Operation):
    """Of whole rows, as they leave the array."""

    TEXT = "softmax"


@dataclass(frozen=True, kw_only=True)
class SoftmaxGradient(Operation):
    """Its gradient, of whole rows."""

    TEXT = "softmax gradient"
    output: Operand


@dataclass(frozen=True, kw_only=True)
class PoolMax(Operation):
    """The largest of each window, and which it was."""

    TEXT, WRITES = "maximum of windows", ("index",)
    index: Operand


@dataclass(frozen=True, kw_only=True)
class PoolMaxGradient(Operation):
    """The gradient goes to the largest of each window."""

    TEXT = "scatter to maxima"
    index: Operand


@dataclass(frozen=True, kw_only=True)
class PoolMean(Operation):
    """The mean of each window."""

    TEXT = "mean of windows"


@dataclass(frozen=True, kw_only=True)
class PoolMeanGradient(Operation):
    """The gradient goes to all of each window."""

    TEXT = "spread means"


@dataclass(frozen=True, kw_only=True)
class GlobalPool(Operation):
    """Of all pixels of a channel, beside the value that passes; without `output` it is the command's target."""

    TEXT, WRITES = "global {kind}", ("output",)
    kind: str
    output: Operand | None = None


@dataclass(frozen=True, kw_only=True)
class GlobalPoolGradient(Operation):
    """Its gradient, at all pixels."""

    TEXT = "spread {kind}"
    kind: str


@dataclass(frozen=True, kw_only=True)
class Reduce(Operation):
    """A tensor of another shape, beside the value that passes; without `output` it is the command's target."""

    TEXT, WRITES = "{kind}", ("output",)
    kind: str
    output: Operand | None = None


@dataclass(frozen=True, kw_only=True)
class ReduceGradient(Operation):
    """Its gradient."""

    TEXT = "spread {kind}"
    kind: str


@dataclass(frozen=True, kw_only=True)
class SelectGradient(Operation):
    """The gradient of one entry where it belongs, zero elsewhere."""

    TEXT = "spread"


@dataclass(frozen=True, kw_only=True)
class Embed(Operation):
    """Add each token's position; a class token in front."""

    TEXT, WRITES = "embed", ("class_tokens",)
    class_tokens: Operand


@dataclass(frozen=True, kw_only=True)
class LookUp(Operation):
    """Rows of a table, by number."""

    TEXT = "look up"
    rows: Operand


@dataclass(frozen=True, kw_only=True)
class LookUpGradient(Operation):
    """Each row's gradient is added to its place in that of the table."""

    TEXT = "add to rows"
    rows: Operand


@dataclass(frozen=True, kw_only=True)
class BatchSums(Operation):
    """The gradient of what is added to every sample."""

    TEXT = "sums over the batch"


@dataclass(frozen=True, kw_only=True)
class BiasSums(Operation):
    """The gradient of the layer's bias."""

    TEXT = "bias sums"


@dataclass(frozen=True, kw_only=True)
class Gather(Operation):
    """Parts of a tensor as one, each of its layer's shape or a part of it: in their places already, or added up."""

    TEXT = "parts in place"
    parts: tuple[Operand, ...]
