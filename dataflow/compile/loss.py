"""Softmax cross-entropy as passes: from the network's output to its gradient, so that a training step is one program.

::

    logits ─► softmax, binary32 ─► × -1 ─► + target ─► × (-loss scale / batch) ─► gradient
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.compile.by_channel import ChannelPass, Channels, binary32
from dataflow.compile.by_row import RowReduction
from dataflow.compile.memory import Memory
from dataflow.compile.row_norms import SoftmaxPasses
from dataflow.tokens import Softmax
from hw.isa.bits import PassStep

TARGET, SHARE, CHANCES = "cross_entropy.target", "cross_entropy.share", "cross_entropy.softmax"
"""Tensors: what the softmax should be, storage; -loss scale / batch, binary32, for each class; the softmax, binary32."""


@dataclass(frozen=True)
class LossPasses:
    """The loss's tensors and passes; the host writes the target and the share.

    Parameters
    ----------
    memory : Memory
        Where tensors are.
    logits, gradient : str
        The network's output, (batch, classes), and the tensor of its gradient.
    lanes : int
        Of the vector unit.
    """

    memory: Memory
    logits: str
    gradient: str
    lanes: int

    @property
    def _softmax(self) -> SoftmaxPasses:
        return SoftmaxPasses(
            Softmax(name="cross_entropy", inputs=(self.logits,)), self.memory, self.logits, self.lanes, CHANCES
        )

    def place(self) -> None:
        """Places for what is beside the output and its gradient."""
        shape = self.memory[self.logits].shape
        self.memory.add(TARGET, "storage", shape)
        self.memory.add(CHANCES, "binary32", shape)
        self.memory.add(SHARE, "binary32", shape[-1:])
        self._softmax.place()

    def passes(self) -> Iterator[ChannelPass | RowReduction]:
        """All of them."""
        target, share, chances, gradient = (Channels.of(self.memory[name]) for name in (TARGET, SHARE, CHANCES, self.gradient))
        yield from self._softmax.statistics()
        yield self._softmax.wide(chances)
        yield ChannelPass(
            steps=PassStep.SCALE | PassStep.RESIDUAL | PassStep.MULTIPLY | PassStep.THIRD | PassStep.NARROW,
            elements=chances, residual=target, third=share, scale=binary32(-1.0), results=gradient,
        )  # fmt: skip
