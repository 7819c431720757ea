"""A vector operation of the program as passes: one rounding each, which is how the trainer has them.

::

    sums ──► bias, convert, add, relu ──memory──► mask          a pass ends where the next operation
             └── drain ──────────────┘                          would have to come before it
"""

from dataclasses import dataclass, field
from typing import NoReturn

from dataflow.ir import operations as op
from dataflow.ir.operations import Operand, Operation
from dataflow.ir.program import Vector
from hw.errors import InputError
from hw.isa.bits import PassStep, union
from hw.isa.functions import ACTIVATIONS

STEPS: dict[type[Operation], int] = {
    op.Bias: PassStep.SHIFT,
    op.Scale: PassStep.SCALE,
    op.Convert: PassStep.NARROW,
    op.Sum: PassStep.RESIDUAL | PassStep.NARROW,
    op.GlobalPoolGradient: PassStep.SCALE | PassStep.NARROW,
    op.Relu: PassStep.RELU,
    op.Mask: PassStep.GATE,
    op.Normalise: PassStep.SCALE | PassStep.SHIFT | PassStep.NARROW,
    op.NormaliseGradient: union(
        [PassStep.SCALE, PassStep.SHIFT, PassStep.RESIDUAL, PassStep.MULTIPLY, PassStep.THIRD, PassStep.NARROW]
    ),
}
"""What a pass does for each operation."""

ORDER = (
    PassStep.WIDEN,
    PassStep.SCALE,
    PassStep.SHIFT,
    PassStep.ROUND,
    PassStep.RESIDUAL,
    PassStep.MULTIPLY,
    PassStep.NARROW,
    PassStep.RELU,
    PassStep.GATE,
)
"""In which a pass does its steps."""

BESIDE = (op.BiasSums, op.GlobalPool, op.BatchSums)
"""Operations that are reductions by channel of their own."""

POOLS = (op.PoolMax, op.PoolMaxGradient, op.PoolMean, op.PoolMeanGradient)

TOKENS = (op.Activate, op.ActivationGradient, op.Embed, op.SelectGradient)

ALONE = (*POOLS, op.Gather, op.Softmax, op.SoftmaxGradient, *TOKENS)
"""Operations that are several passes of their own, and those of `alone_of` some kinds."""

SUMS = (op.Statistics, op.GradientSums)
"""Operations that are reductions of what a pass has written, and what is made of them."""

KNOWN: tuple[type[Operation], ...] = (*STEPS, *BESIDE, *ALONE, *SUMS)

NO_STEPS = PassStep(0)


@dataclass
class Part:
    """A pass.

    Parameters
    ----------
    steps : int
        As in `hw.isa.commands.Pass`; passes over memory widen, too.
    bias : str, optional
        The layer whose bias is added.
    residuals : list of str
        What is added; several are added up first, in their order.
    gate : str, optional
        The tensor where whose elements are above zero, or NaN, the result passes.
    factor : float
        What sums are multiplied by.
    kept : str, optional
        The layer of a ReLU whose output says what its mask would.
    alone : Operation, optional
        What it does in passes of its own, and nothing else.
    normal : str, optional
        The layer of a normalisation by whose factors elements pass.
    value : str, optional
        What it normalised, where this is its gradient.
    """

    steps: int = NO_STEPS
    bias: str | None = None
    residuals: list[str] = field(default_factory=list)
    gate: str | None = None
    factor: float = 0.0
    kept: str | None = None
    alone: Operation | None = None
    normal: str | None = None
    value: str | None = None

    def takes(self, operation: Operation) -> bool:
        """Whether it comes behind all that the pass does already; what is rounded can be added to others."""
        steps, rounded = STEPS[type(operation)], isinstance(operation, op.Sum) and bool(self.steps & PassStep.NARROW)
        done = [place for place, step in enumerate(ORDER) if self.steps & step and not (rounded and step == PassStep.NARROW)]
        first = min(place for place, step in enumerate(ORDER) if steps & step)
        return not self.alone and first > max(done, default=-1)

    def add(self, operation: Operation) -> None:
        """Do this as well."""
        if isinstance(operation, op.Sum) and self.steps & PassStep.NARROW:
            self.steps ^= PassStep.NARROW | PassStep.ROUND
        self.steps |= STEPS[type(operation)]
        if isinstance(operation, op.Bias):
            self.bias = operation.layer
        elif isinstance(operation, op.Scale):
            self.factor = operation.factor
        elif isinstance(operation, op.Sum):
            self.residuals += [operand.tensor for operand in operation.others]
        elif isinstance(operation, op.Mask):
            self.gate = output_of(operation.layer)
        elif isinstance(operation, op.Relu):
            self.kept = operation.layer
        elif isinstance(operation, op.Normalise | op.NormaliseGradient):
            self.normal = operation.layer
            self.value = operation.value.tensor if isinstance(operation, op.NormaliseGradient) else None

    def split(self) -> "tuple[Part, Part]":
        """What it does up to where it rounds, and what comes then, as a pass each."""
        before = self.steps & union([PassStep.SCALE, PassStep.SHIFT]) | PassStep.NARROW
        after = self.steps & union([PassStep.RESIDUAL, PassStep.NARROW, PassStep.RELU, PassStep.GATE])
        first = Part(before, bias=self.bias, factor=self.factor, normal=self.normal)
        return first, Part(after, residuals=self.residuals, gate=self.gate, kept=self.kept)


@dataclass(frozen=True)
class Chain:
    """A vector operation.

    Parameters
    ----------
    source : str, optional
        The tensor that the first pass reads; None where its elements come from the drain of products.
    parts : list of Part
        The passes; the last one writes the operation's tensor, and the others do, too, unless they have one to keep.
    pooled : Operand, optional
        Where the mean of all pixels of the result goes, or the largest; of the source, where there are no passes.
    pool : GlobalPool, optional
        The operation that this is.
    sums : list of Operation
        Statistics and sums of gradients that are taken of the result; of the source, where there are no passes.
    batch_sums : list of str
        Layers whose gradients of what is added to all samples come from it, too.
    """

    source: str | None
    parts: list[Part]
    pooled: Operand | None = None
    pool: op.GlobalPool | None = None
    sums: list[Operation] = field(default_factory=list)
    batch_sums: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, vector: Vector) -> "Chain":
        """The passes of `vector`; `InputError` names what the accelerator cannot do."""
        parts: list[Part] = []
        pooled: Operand | None = None
        pool: op.GlobalPool | None = None
        sums: list[Operation] = []
        for operation in vector.operations:
            _check(vector, operation)
            if isinstance(operation, op.GlobalPool):
                pooled, pool = operation.output or vector.target, operation
            elif isinstance(operation, SUMS):
                sums.append(operation)
            elif _is_alone(operation):
                parts.append(Part(alone=operation))
            elif not isinstance(operation, BESIDE):
                if not parts or not parts[-1].takes(operation):
                    parts.append(Part())
                parts[-1].add(operation)
        batch_sums = [operation.layer for operation in vector.operations if isinstance(operation, op.BatchSums)]
        return cls(vector.source.tensor if vector.source else None, parts, pooled, pool, sums, batch_sums)

    @property
    def kept(self) -> list[str]:
        """Layers of ReLUs whose outputs a later pass goes on from."""
        return [part.kept for part in self.parts[:-1] if part.kept]

    def result(self, target: str) -> str:
        """The tensor that all passes leave."""
        return target if self.parts or self.source is None else self.source

    def written(self, number: int, target: str) -> str:
        """The tensor that a pass writes."""
        following = self.parts[number + 1 : number + 2]
        if following and isinstance(following[0].alone, op.Activate):
            return following[0].alone.kept.tensor
        kept = self.parts[number].kept
        return output_of(kept) if kept and number < len(self.parts) - 1 else target


def sums_of(target: str) -> str:
    """The tensor of what several others add up to, before they are added to `target`."""
    return f"{target}.others"


def totals_of(target: str) -> str:
    """The tensor, binary32, of the sums or maxima that `target` comes from."""
    return f"{target}.totals"


def scaled_of(target: str) -> str:
    """The tensor, binary32, of gradients of windows times their shares, which the gradient `target` sums up."""
    return f"{target}.scaled"


def index_of(layer: str) -> str:
    """The tensor of the places of a pool's maxima."""
    return f"{layer}.index"


def output_of(layer: str) -> str:
    """The tensor of a ReLU's output, which is above zero where its mask is set."""
    return f"{layer}.output"


def _is_alone(operation: Operation) -> bool:
    """Whether it is passes of its own."""
    return isinstance(operation, ALONE) or (isinstance(operation, op.GlobalPoolGradient) and operation.kind == "max")


KINDS: dict[type[Operation], tuple[str, ...]] = {
    op.GlobalPool: ("mean", "max"),
    op.GlobalPoolGradient: ("mean", "max"),
    op.Activate: tuple(ACTIVATIONS),
    op.ActivationGradient: tuple(ACTIVATIONS),
}
"""Of operations that have several."""


def _check(vector: Vector, operation: Operation) -> None:
    kinds = KINDS.get(type(operation))
    if type(operation) not in KNOWN or (kinds and getattr(operation, "kind", "") not in kinds):
        refuse(vector, operation)


def refuse(vector: Vector, operation: Operation) -> NoReturn:
    """Raise `InputError`, which names what the accelerator cannot do."""
    allowed = ", ".join(kind.TEXT.format(kind=name) for kind in KNOWN for name in KINDS.get(kind, ("",)))
    raise InputError(
        f"layer {vector.layer!r}, {vector.stage}: the accelerator cannot do {operation.text!r}; allowed: {allowed}"
    )
