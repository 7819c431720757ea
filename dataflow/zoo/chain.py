"""A network written down as a chain: each layer reads the one before unless it is told otherwise."""

from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Layer, Linear, MaxPool, Network, Relu, Shape


class Chain:
    """Collects layers; `last` is the name that the next one reads."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.last = INPUT

    def conv(
        self, name: str, out_channels: int, kernel: int, *, stride: int = 1, padding: int | None = None, bias: bool = False
    ) -> "Chain":
        """Convolution; half the kernel is padded unless `padding` says otherwise."""
        padding = kernel // 2 if padding is None else padding
        return self._add(
            Conv(
                name=name,
                inputs=(self.last,),
                out_channels=out_channels,
                kernel=kernel,
                stride=stride,
                padding=padding,
                bias=bias,
            )
        )

    def conv_norm(self, name: str, out_channels: int, kernel: int, *, stride: int = 1) -> "Chain":
        """Convolution without bias and batch norm, the latter named ``<name>.norm``."""
        self.conv(name, out_channels, kernel, stride=stride)
        return self._add(BatchNorm(name=f"{name}.norm", inputs=(self.last,)))

    def relu(self) -> "Chain":
        """max(x, 0), named after the layer it follows."""
        return self._add(Relu(name=f"{self.last}.relu", inputs=(self.last,)))

    def max_pool(self, name: str, kernel: int, *, stride: int, padding: int = 0) -> "Chain":
        """Maximum of windows."""
        return self._add(MaxPool(name=name, inputs=(self.last,), kernel=kernel, stride=stride, padding=padding))

    def global_pool(self, kind: str) -> "Chain":
        """Mean or maximum of all pixels."""
        return self._add(GlobalPool(name="pool", inputs=(self.last,), kind=kind))

    def flatten(self) -> "Chain":
        """All axes in one."""
        return self._add(Flatten(name="flatten", inputs=(self.last,)))

    def linear(self, name: str, out_features: int) -> "Chain":
        """Matrix product with bias."""
        return self._add(Linear(name=name, inputs=(self.last,), out_features=out_features))

    def add(self, name: str, other: str) -> "Chain":
        """Sum with the output of `other`."""
        return self._add(Add(name=name, inputs=(self.last, other)))

    def at(self, name: str) -> "Chain":
        """Go on from the output of `name`."""
        self.last = name
        return self

    def network(self, name: str, input_shape: Shape) -> Network:
        """The network of the layers so far."""
        return Network(name=name, input_shape=input_shape, layers=tuple(self.layers))

    def _add(self, layer: Layer) -> "Chain":
        self.layers.append(layer)
        self.last = layer.name
        return self
