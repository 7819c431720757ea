"""Operations on all elements of a tensor: cleared, copied, and in the storage format."""

from dataclasses import replace
from math import prod

from dataflow.compile.dependences import Operation
from dataflow.compile.memory import Tensor
from dataflow.compile.walks import whole, words_of
from hw.isa.bits import PassStep
from hw.isa.commands import Load, Pass, Sink, Source, Store, Walk


def cleared(target: Tensor, lanes: int) -> Operation:
    """Zeros: what is read is all outside."""
    walk = whole(target, lanes)
    return _made(target, replace(walk, run_limit=0), Pass(words=words_of(walk)), target, walk)


def copied(source: Tensor, target: Tensor, lanes: int) -> Operation:
    """The elements of a tensor to where those of another one are."""
    read = whole(source, lanes)
    return _made(source, read, Pass(words=words_of(read)), target, whole(target, lanes))


def narrowed(source: Tensor, target: Tensor, lanes: int, scale: int | None = None) -> Operation:
    """Numbers of binary32 in the storage format, times `scale`, binary32, before."""
    steps = PassStep.NARROW if scale is None else PassStep.SCALE | PassStep.NARROW
    step = Pass(words=-(-prod(source.shape) // lanes), steps=steps, scale=scale or 0)
    return _made(source, whole(source, lanes), step, target, whole(target, lanes))


def _made(source: Tensor, read: Walk, step: Pass, target: Tensor, written: Walk) -> Operation:
    commands = [Load(source=Source.ELEMENTS, walk=read), step, Store(sink=Sink.RESULTS, walk=written)]
    return commands, {Source.ELEMENTS: source.name, Sink.RESULTS: target.name}
