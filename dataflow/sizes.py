"""Bytes of the tensors of a network at a batch."""

from dataclasses import dataclass
from math import prod

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

    def mask_bytes(self, name: str) -> int:
        """Bytes of one bit an element: the sign that a ReLU's gradient needs."""
        return -(-self.elements(name) // 8)

    def index_bytes(self, name: str) -> int:
        """Bytes of one byte an element: the position of a window's maximum."""
        return self.elements(name)
