"""One pass of the vector unit while it is being put together: neighbouring element-wise work joins it."""

from dataclasses import dataclass, field, replace

from dataflow.ir.operations import Operand, Operation
from dataflow.ir.program import Stage, Vector


@dataclass(kw_only=True, eq=False)
class Pass:
    """A `Vector` that can still grow.

    Parameters
    ----------
    layer, stage, fused, elements, source, target
        As in `Vector`; joining an operation renames the target, because only the last value is kept.
    operations : list of Operation
        So far.
    joinable : bool
        Whether an element-wise operation may still join.
    """

    layer: str
    stage: Stage
    fused: bool
    elements: int
    target: Operand
    source: Operand | None = None
    operations: list[Operation] = field(default_factory=list)
    joinable: bool = True

    def join(self, *operations: Operation, tensor: str | None = None) -> "Pass":
        """Do these as well, and write the result under the name `tensor` if it is a new value."""
        self.operations += operations
        if tensor:
            self.target = replace(self.target, tensor=tensor)
        return self

    def freeze(self) -> Vector:
        """The finished command."""
        return Vector(
            layer=self.layer,
            stage=self.stage,
            fused=self.fused,
            elements=self.elements,
            source=self.source,
            operations=tuple(self.operations),
            target=self.target,
        )
