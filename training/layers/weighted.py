"""What convolution and linear layer share: a master weight, the operands made of it, three products."""

from abc import abstractmethod
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dataflow import network
from dataflow.ir.program import Stage
from training.layers.module import Module, Parameter, Pass
from training.methods.contract import check_kept, check_like, check_order
from training.methods.dense import Dense
from training.methods.method import Method
from training.methods.site import Site
from training.nm import Packed, pack
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

    def prepare(self, method: Method, site: Site) -> None:
        """Make the operands of the next step's products from the master weight, pruned as `method` says."""
        stored = self.backend.store(self.weight.value)
        self.method, self.site = (Dense(), site) if site.ratio.is_dense else (method, site)
        packed = self.method.sparse_stages & self.method.packed_stages
        forward, backward = self.ask("forward_weights", stored), self.ask("backward_weights", stored)
        self.order = self.method.output_order(backward, site)
        check_order(self._where("output_order"), self.order, len(stored))
        self.dense = backward if Stage.FORWARD in packed else forward
        self.forward_operand = self._operand("forward_weights", forward, stored, packed=Stage.FORWARD in packed)
        turned = self._turned(backward)
        given = turned if backward is stored else self._turned(stored)
        self.backward_operand = self._operand("backward_weights", turned, given, packed=Stage.INPUT_GRADIENT in packed)
        self.weight.pruned = self.method.pruned(stored, site) if self.method.pruned_decay else None

    def take(self, forward: Operand, backward: Operand, order: NDArray[np.intp] | None) -> None:
        """Work with operands that were made before, in place of `prepare`; `ValueError` where they are another layer's."""
        stored = self.weight.value
        for shape, operand in ((stored.shape, forward), (self.transposed(stored).shape, backward)):
            if operand.lead != shape[:-1] or operand.ratio.groups(shape[-1]) * operand.ratio.m != operand.channels:
                raise ValueError(f"layer {self.layer.name!r}: operands of another shape")
        self.forward_operand, self.backward_operand, self.order = forward, backward, order

    def _turned(self, weights: Array) -> Array:
        """(inputs, *kernel, outputs), outputs in the method's order."""
        return self.transposed(weights if self.order is None else weights[self.order])

    def _operand(self, hook: str, weights: Array, given: Array, *, packed: bool) -> Operand:
        """What a product reads: of packed weights, the N largest of every M where the method left `given` as it was."""
        ratio = self.method.packing_ratio(self.site)
        if not packed or ratio.is_dense:
            return Operand(weights)
        if weights is not given:
            check_kept(self._where(hook), weights, given, ratio, fewer=self.method.keeps_fewer)
        return Operand(pack(weights, ratio), ratio)

    def ask(self, hook: str, given: Array) -> Array:
        """What one of the method's hooks makes of what a product reads, rounded to storage where it is not `given` itself."""
        result = check_like(self._where(hook), getattr(self.method, hook)(given, self.site), given)
        return given if result is given else self.backend.store(result)

    def _where(self, hook: str) -> str:
        return f"method {self.method.name!r}, layer {self.layer.name!r}: {hook}"

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.input = inputs[0]
        output = self.output_product(self.input)
        how.record(self.layer.name, input=self.input, output=output, weight=rows_last(self.dense))
        how.record(self.layer.name, **self._packed("weight_forward", self.forward_operand))
        return self.backend.store(output + self.parameters["bias"].value if self.layer.bias else output)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        product = self.weight_product(gradient)
        changed = self.method.weight_gradient(product, self.site)
        self.weight.gradient = check_like(self._where("weight_gradient"), changed, product)
        self._record_gradients(gradient, how)
        if self.layer.bias:
            self.parameters["bias"].gradient = self.backend.sum_rows(gradient.reshape(-1, gradient.shape[-1]))
        if not self.needs_input_gradient:
            return ()
        pruned = self.ask("input_gradient_operand", gradient)
        product = self.input_product(pruned if self.order is None else pruned[..., self.order])
        how.record(self.layer.name, input_gradient=product)
        how.record(self.layer.name, **self._packed("weight_backward", self.backward_operand))
        return (self.backend.store(product),)

    def stored(self) -> dict[str, Array | Packed]:
        """What the accelerator reads of the weights in the next step, by the names of `training.step.training_step`."""
        packed = self._packed("weight_forward", self.forward_operand) | self._packed("weight_backward", self.backward_operand)
        return {f"{self.layer.name}.{kind}": part for kind, part in ({"weight": rows_last(self.dense)} | packed).items()}

    def _packed(self, name: str, operand: Operand) -> dict[str, Array | Packed]:
        return {} if operand.ratio.is_dense else {name: operand.map(rows_last).weights}

    def _record_gradients(self, gradient: Array, how: Pass) -> None:
        """In the method's order of output channels, which is how the accelerator has them."""
        weight = self.weight.gradient
        if self.order is not None:
            gradient, weight = gradient[..., self.order], weight[self.order]
        how.record(self.layer.name, output_gradient=gradient, weight_gradient=rows_last(weight))

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


def rows_last(array: Array) -> Array:
    """(rows, ...) as the accelerator's memory has it, (..., rows)."""
    return np.moveaxis(array, 0, -1)
