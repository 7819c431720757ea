"""Activations and embedded tokens as commands."""

from collections.abc import Iterator
from math import prod

from dataflow.compile.dependences import Names, Operation
from dataflow.compile.memory import Tensor
from dataflow.compile.walks import Step, in_words, whole, words_of
from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Load, Pass, Sink, Source, Store, Walk
from hw.isa.functions import ACTIVATIONS

STORED = PassStep.WIDEN | PassStep.MULTIPLY | PassStep.NARROW


def activated(config: AcceleratorConfig, kind: str, value: Tensor, target: Tensor) -> Operation:
    """f(x) · x of every element."""
    read = whole(value, config.vpu_lanes)
    step = Pass(words=words_of(read), steps=STORED | PassStep.ITSELF, function=ACTIVATIONS[kind][0])
    written = Store(sink=Sink.RESULTS, walk=whole(target, config.vpu_lanes))
    return [Load(source=Source.ELEMENTS, walk=read), step, written], {Source.ELEMENTS: value.name, Sink.RESULTS: target.name}


def activation_gradient(config: AcceleratorConfig, kind: str, value: Tensor, gradient: Tensor, target: Tensor) -> Operation:
    """The slope at what was activated times the gradient of the result."""
    lanes = config.vpu_lanes
    streams = {Source.ELEMENTS: value, Source.RESIDUAL: gradient}
    loads = [Load(source=source, walk=whole(tensor, lanes)) for source, tensor in streams.items()]
    step = Pass(words=words_of(loads[0].walk), steps=STORED, function=ACTIVATIONS[kind][1])
    names: Names = {source: tensor.name for source, tensor in streams.items()}
    return [*loads, step, Store(sink=Sink.RESULTS, walk=whole(target, lanes))], {**names, Sink.RESULTS: target.name}


def embedded(config: AcceleratorConfig, target: Tensor, token: Tensor, position: Tensor) -> Iterator[Operation]:
    """Positions added to the tokens that are in their places already, and the class token with its own in front.

    Parameters
    ----------
    target : Tensor
        (batch, T + 1, C), storage format, with tokens from the second on.
    token, position : Tensor
        (C,) and (T + 1, C), masters.
    """
    batch, count, width = target.shape
    length, lanes = (count - 1) * width, config.vpu_lanes
    beside: Names = {Source.FACTORS: position.name, Sink.RESULTS: target.name}

    def walk(tensor: Tensor, first: int, size: int, *, again: bool) -> Walk:
        """Numbers of each sample, or the same for all of them."""
        step = 0 if again else prod(target.shape[1:]) * tensor.element_bytes
        base = tensor.offset + first * tensor.element_bytes
        return in_words(base, tensor.element_bytes, lanes, [Step(size, 0)], [Step(batch, step)])

    for source, first, size, widen in ((target, width, length, PassStep.WIDEN), (token, 0, width, PassStep(0))):
        read = walk(source, first, size, again=source is token)
        step = Pass(words=words_of(read), steps=widen | PassStep.SHIFT | PassStep.NARROW, options=PassOption.SHIFT_FACTOR)
        factors = Load(source=Source.FACTORS, walk=walk(position, first, size, again=True))
        written = Store(sink=Sink.RESULTS, walk=walk(target, first, size, again=False))
        yield [Load(source=Source.ELEMENTS, walk=read), factors, step, written], {Source.ELEMENTS: source.name, **beside}
