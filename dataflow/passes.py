"""One pass of the vector unit while it is being put together: neighbouring element-wise work joins it."""

from dataclasses import dataclass, field

from dataflow.program import Stage, Vector


@dataclass(kw_only=True, eq=False)
class Pass:
    """A `Vector` that can still grow.

    Parameters
    ----------
    layer, stage, fused, elements
        As in `Vector`.
    what : list of str
        Operations so far.
    tensor : str
        What it writes; joining an operation renames it, because only the last value is kept.
    joinable : bool
        Whether an element-wise operation may still join.
    """

    layer: str
    stage: Stage
    fused: bool
    elements: int
    what: list[str]
    tensor: str
    joinable: bool = True
    read_bytes: int = 0
    write_bytes: int = 0
    reads: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)

    def join(self, what: str, *, tensor: str | None = None) -> "Pass":
        """Do `what` as well, and write the result under the name `tensor` if it is a new value."""
        self.what.append(what)
        self.tensor = tensor or self.tensor
        return self

    def read(self, tensor: str, size_bytes: int) -> "Pass":
        """Read a further operand from memory."""
        self.reads.append(tensor)
        self.read_bytes += size_bytes
        return self

    def write(self, tensor: str, size_bytes: int) -> "Pass":
        """Write a side result, such as a mask, to memory."""
        self.extras.append(tensor)
        self.write_bytes += size_bytes
        return self

    def freeze(self) -> Vector:
        """The finished command."""
        return Vector(
            layer=self.layer,
            what=", ".join(self.what),
            stage=self.stage,
            fused=self.fused,
            elements=self.elements,
            read_bytes=self.read_bytes,
            write_bytes=self.write_bytes,
            reads=tuple(self.reads),
            writes=(self.tensor, *self.extras),
        )
