"""What convolution and linear layer share: a master weight, the operands made of it, three products."""

from abc import abstractmethod
from math import prod
from typing import TypeVar

import numpy as np

from dataflow import network
from dataflow.program import Stage
from hw.ratio import Ratio
from training.layers.module import Module, Parameter, Pass
from training.methods.method import Method
from training.nm import pack, select
from training.numbers import Array
from training.operand import Operand

W = TypeVar("W", bound=network.Weighted)


class Weighted(Module[W]):
    """A layer of matrix products.

    `prepare` turns the master weight into what the products read, before the first step and after each update. The
    gradients are straight-through: the weight gradient is dense, whatever was pruned.
    """

    needs_input_gradient = True
    """Whether any layer before this one learns."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        """Weights by He et al. (ICCV 2015), normal with variance 2 / fan-in; bias zero."""
        spread = np.sqrt(2 / prod(shape[1:]))
        self.weight = Parameter((rng.standard_normal(shape) * spread).astype(self.backend.wide))
        self.parameters = {"weight": self.weight}
        if self.layer.bias:
            self.parameters["bias"] = Parameter(np.zeros(shape[0], self.backend.wide))

    def prepare(self, method: Method, ratio: Ratio) -> None:
        """Make the operands of the next step's products from the master weight, pruned as `method` says."""
        stored = self.backend.store(self.weight.value)
        self.dense = stored if ratio.is_dense else method.dense_operand(stored, ratio)
        sparse = frozenset() if ratio.is_dense else method.sparse_stages
        self.forward_operand, self.backward_operand = Operand(self.dense), Operand(self.transposed(self.dense))
        if Stage.FORWARD in sparse:
            self.forward_operand = Operand(pack(stored, ratio), ratio)
        if Stage.INPUT_GRADIENT in sparse:
            self.backward_operand = Operand(pack(self.transposed(stored), ratio), ratio)
        decays = method.pruned_decay and not ratio.is_dense
        self.weight.pruned = ~select(stored, ratio) if decays else None

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.input = inputs[0]
        output = self.output_product(self.input)
        how.record(self.layer.name, input=self.input, weight=self.dense, output=output)
        if not self.forward_operand.ratio.is_dense:
            how.record(self.layer.name, weight_forward=self.forward_operand.weights)
        return self.backend.store(output + self.parameters["bias"].value if self.layer.bias else output)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        self.weight.gradient = self.weight_product(gradient)
        how.record(self.layer.name, output_gradient=gradient, weight_gradient=self.weight.gradient)
        if self.layer.bias:
            self.parameters["bias"].gradient = self.backend.sum_rows(gradient.reshape(-1, gradient.shape[-1]))
        if not self.needs_input_gradient:
            return ()
        product = self.input_product(gradient)
        how.record(self.layer.name, input_gradient=product)
        if not self.backward_operand.ratio.is_dense:
            how.record(self.layer.name, weight_backward=self.backward_operand.weights)
        return (self.backend.store(product),)

    @abstractmethod
    def transposed(self, weights: Array) -> Array:
        """(inputs, *kernel, outputs) of (outputs, *kernel, inputs)."""

    @abstractmethod
    def output_product(self, inputs: Array) -> Array:
        """The forward product, wide, in the shape of the output."""

    @abstractmethod
    def input_product(self, gradient: Array) -> Array:
        """The input gradient's product, wide, in the shape of the input."""

    @abstractmethod
    def weight_product(self, gradient: Array) -> Array:
        """The weight gradient's product, wide, in the shape of the weight."""
