"""Bytes of the tensors of a network at a batch."""

from dataclasses import dataclass
from math import prod

from dataflow.ir.operations import Operand
from dataflow.network import Network
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Sizes:
    """How large the tensors between layers are; they are kept in the accelerator's storage format."""

    network: Network
    batch: int
    config: AcceleratorConfig

    def elements(self, name: str) -> int:
        """Elements of a layer's output for the whole batch."""
        return self.batch * prod(self.network.shapes[name])

    def bytes(self, name: str) -> int:
        """Bytes of a layer's output in the storage format."""
        return self.elements(name) * self.config.storage_format.width // 8

    def operand(self, tensor: str, layer: str) -> Operand:
        """A tensor of the shape of a layer's output, in the storage format."""
        return Operand(tensor, layer, self.bytes(layer))

    def mask(self, layer: str) -> Operand:
        """One bit an element: the sign that a ReLU's gradient needs."""
        return Operand(f"{layer}.mask", layer, -(-self.elements(layer) // 8))

    def index(self, layer: str) -> Operand:
        """One byte an element: the position of a window's maximum."""
        return Operand(f"{layer}.index", layer, self.elements(layer))

    def kept(self, layer: str) -> Operand:
        """What the gradient of an activation function needs."""
        return self.operand(f"{layer}.kept", layer)
