"""ONNX Einsum as one matrix product between views."""

from math import prod

from dataflow.axes import Reduce
from dataflow.importers.onnx_reader import Node, Reader
from dataflow.network import Linear
from dataflow.rearrange import Reshape
from dataflow.tokens import MatMul
from hw.errors import InputError


def einsum(reader: Reader, node: Node) -> None:
    """Of one operand a view or a sum; of two a product whose operands and result are seen as matrices.

    With a constant operand it is a linear layer, whose weights no axis that the result keeps may index as well.
    """
    terms, result = _parse(reader, node)
    if len(terms) == 1:
        shape, source = reader.sample(node.outputs[0]), reader.plain(node.inputs[0])
        same = prod(shape) == prod(reader.sample(node.inputs[0]))
        reader.add(node, Reshape, (source,), shape=shape) if same else reader.add(node, Reduce, (source,), shape=shape)
        return
    if len(terms) != 2:
        raise InputError(f"{node.where}: Einsum of {len(terms)} operands; allowed: 1 or 2")
    left, right = (set(term) for term in terms)
    lonely = (left ^ right) - set(result)
    if lonely or any(len(set(term)) < len(term) for term in (*terms, result)):
        raise InputError(f"{node.where}: Einsum {_equation(node)!r} sums or repeats an axis of one operand alone")
    shared, summed = left & right & set(result), (left & right) - set(result)
    if any(reader.constant(name) for name in node.inputs):
        _linear(reader, node, terms, shared, summed)
        return
    sizes = _sizes(reader, node, terms)
    lead = tuple(sizes[letter] for letter in result if letter in shared)
    m, n, k = (prod(sizes[letter] for letter in letters) for letters in (left - right, right - left, summed))
    sources = [
        reader.add(node, Reshape, (reader.plain(name),), part=part, shape=(*lead, *matrix))
        for part, name, matrix in zip(("left", "right"), node.inputs, ((m, k), (k, n)), strict=True)
    ]
    product = reader.add(node, MatMul, tuple(sources))
    reader.add(node, Reshape, (product,), part="result", shape=reader.sample(node.outputs[0]))


def _linear(reader: Reader, node: Node, terms: list[str], shared: set[str], summed: set[str]) -> None:
    """One operand is a constant."""
    place = 0 if reader.constant(node.inputs[0]) else 1
    if shared:
        raise InputError(
            f"{node.where}: Einsum {_equation(node)!r} keeps axis {min(shared)!r} of both its operands, one a constant"
        )
    weight = dict(zip(terms[place], reader.shape(node.inputs[place]), strict=True))
    k = prod(weight[letter] for letter in summed)
    moving = node.inputs[1 - place]
    source = reader.add(node, Reshape, (reader.plain(moving),), part="left", shape=(prod(reader.sample(moving)) // k, k))
    product = reader.add(node, Linear, (source,), out_features=prod(weight.values()) // k, bias=False)
    reader.add(node, Reshape, (product,), part="result", shape=reader.sample(node.outputs[0]))


def _sizes(reader: Reader, node: Node, terms: list[str]) -> dict[str, int]:
    """Size of every axis for one sample."""
    sizes: dict[str, int] = {}
    for name, term in zip(node.inputs, terms, strict=True):
        sizes |= dict(zip(term, reader.graph.divided(name), strict=True))
    return sizes


def _parse(reader: Reader, node: Node) -> tuple[list[str], str]:
    """Letters of the operands and of the result, an ellipsis as capital letters of its own."""
    left, arrow, result = _equation(node).replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        result = "".join(sorted(c for c in set(left) - {",", "."} if left.count(c) == 1))
        result = ("..." if "..." in left else "") + result
    ranks = [len(reader.shape(name)) for name in node.inputs]
    if len(terms) != len(ranks):
        raise InputError(f"{node.where}: Einsum {_equation(node)!r} is not of {len(ranks)} operands")
    hidden = [rank - len(term.replace("...", "")) for rank, term in zip(ranks, terms, strict=True)]
    most = "".join(chr(0x391 + place) for place in range(max([0, *hidden])))
    spelt = [term.replace("...", most[len(most) - count :]) for term, count in zip(terms, hidden, strict=True)]
    if any(len(term) != rank for rank, term in zip(ranks, spelt, strict=True)):
        raise InputError(f"{node.where}: Einsum {_equation(node)!r} does not fit operands of {ranks} axes")
    return spelt, result.replace("...", most)


def _equation(node: Node) -> str:
    return str(node.attributes["equation"].decode())
