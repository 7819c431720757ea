"""ONNX recurrent layers and attention as the products that they are."""

from math import prod

from dataflow.axes import Affine, Combine, Reduce
from dataflow.importers.onnx_reader import Node, Reader
from dataflow.network import Linear
from dataflow.rearrange import Concat, Gap, Reshape
from dataflow.tokens import Activation, MatMul, Softmax
from hw.errors import InputError

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(reader: Reader, node: Node) -> None:
    """Two products a direction, over all steps: of the inputs, and of the states, which stand in a tensor of their own.

    MACs and parameters are those of the layer. That a step waits for the one before is not counted.
    """
    directions, rows, channels = reader.weight(node, 1)
    hidden = reader.weight(node, 2)[-1]
    if rows != GATES[node.kind] * hidden:
        raise InputError(f"{node.where}: {rows} rows of weights are not {GATES[node.kind]} gates of {hidden}")
    steps = prod(reader.sample(node.inputs[0])) // channels
    source = reader.add(node, Reshape, (reader.plain(node.inputs[0]),), part="steps", shape=(steps, channels))
    results = []
    for direction in range(directions):
        way = f"{direction}." if directions > 1 else ""
        inputs = reader.add(node, Linear, (source,), part=f"{way}input", out_features=rows, bias=node.has(3))
        states = reader.add(node, Gap, (inputs,), part=f"{way}states", shape=(steps, hidden))
        product = reader.add(node, Linear, (states,), part=f"{way}recurrent", out_features=rows, bias=node.has(3))
        both = reader.add(node, Combine, (inputs, product), part=f"{way}sum", kind="add")
        gates = reader.add(node, Activation, (both,), part=f"{way}gates", kind="gates")
        results.append(reader.add(node, Reduce, (gates,), part=f"{way}output", shape=(steps, hidden), kind="states of gates"))
    joined = reader.add(node, Concat, tuple(results), part="directions", axis=-1) if directions > 1 else results[0]
    for place, output in enumerate(node.outputs):
        if output:
            reader.add(node, Gap if place else Reshape, (joined,), output=output, shape=reader.sample(output))
    reader.notes[f"{node.kind} nodes are products over time: that their steps follow each other is not counted"] += 1


def attention(reader: Reader, node: Node) -> None:
    """Scores, softmax and mixture for each head; keys and values that several heads share are read again."""
    query, key, value = (_heads(reader, node, place) for place in range(3))
    lead, width = query[:-2], query[-1]
    length = key[-2] + (reader.sample(node.inputs[4])[-2] if node.has(4) else 0)
    shapes = (query, (*lead, length, width), (*lead, length, value[-1]))
    sources = [_seen(reader, node, place, shape) for place, shape in enumerate(shapes)]
    scores = reader.add(node, MatMul, (sources[0], sources[1]), part="scores", transposed=True)
    scaled = reader.add(node, Affine, (scores,), part="scaled", kind="scale and mask")
    weights = reader.add(node, Softmax, (scaled,), part="softmax")
    mixed = reader.add(node, MatMul, (weights, sources[2]), part="mixed")
    reader.add(node, Reshape, (mixed,), part="output", shape=reader.sample(node.outputs[0]))


def _heads(reader: Reader, node: Node, place: int) -> tuple[int, ...]:
    """(*, heads, tokens, width) of an input, which may have its heads side by side in the last axis."""
    name = node.inputs[place]
    if len(reader.shape(name)) == 4:
        return reader.sample(name)
    attribute = "kv_num_heads" if place else "q_num_heads"
    heads = int(node.attributes.get(attribute, 0))
    *outer, tokens, width = reader.sample(name)
    if heads < 1 or width % heads:
        raise InputError(f"{node.where}: {attribute} must divide the width {width}, not be {heads}")
    return (*outer, heads, tokens, width // heads)


def _seen(reader: Reader, node: Node, place: int, shape: tuple[int, ...]) -> str:
    name = node.inputs[place]
    same = prod(reader.sample(name)) == prod(shape)
    return reader.add(node, Reshape if same else Gap, (reader.plain(name),), part=("query", "key", "value")[place], shape=shape)


def quantised(reader: Reader, node: Node) -> None:
    """A change of number format, which is the accelerator's own here."""
    reader.view(node)
    reader.notes[f"{node.kind} nodes count as no work: numbers have the accelerator's formats"] += 1
