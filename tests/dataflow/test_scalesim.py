"""SCALE-Sim topologies: shapes by hand, what is wrong said with its line."""

import pytest
from onnx_file import products

from dataflow.importers import load
from dataflow.network import Linear
from hw.errors import InputError

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"


def topology(tmp_path, text):
    path = tmp_path / "net.csv"
    path.write_text(text)
    return str(path)


def test_convolution_table(tmp_path):
    network = load(topology(tmp_path, CONV + "Conv1, 11, 9, 3, 5, 4, 6, 2,\n\nFC, 1, 1, 1, 1, 16, 10, 1,\n")).network
    assert (network.name, network.input_shape) == ("net", (11, 9, 4))
    assert products(network, 2) == {"Conv1": (1, 6, 2 * 5 * 3, 60), "FC": (1, 10, 2, 16)}


def test_gemm_table(tmp_path):
    network = load(topology(tmp_path, "Layer, M, N, K,\nG1, 30, 20, 10,\nG2, 7, 8, 9,\n")).network
    assert products(network) == {"G1": (1, 20, 30, 10), "G2": (1, 8, 7, 9)}
    assert all(isinstance(layer, Linear) for layer in network.weighted())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: no heading; allowed: 'Layer, IFMAP Height"),
        ("Layer, A, B\nx, 1, 2\n", r":1: heading must be 'Layer, IFMAP Height.*not 'Layer, A, B'"),
        (CONV, r":1: no layer follows the heading"),
        (CONV + "c, 8, 8, 3, 3, 4, 6, 0,\n", r":2: c: Strides must be a whole number of at least 1, not '0'"),
        (CONV + "c, 8, 8, 3, 3, 4,\n", r":2: c: 7 numbers must follow the name, not 6"),
        (CONV + "c, 8, 8, 9, 3, 4, 6, 1,\n", r":2: c: Filter Height must be at most IFMAP Height 8, not 9"),
        (CONV + "c, 8, 8, 3, 3, 4, 6, 1,\nc, 8, 8, 3, 3, 4, 6, 1,\n", r":3: layer 'c' stands twice"),
    ],
)
def test_wrong_tables_say_line_and_what_is_allowed(tmp_path, text, message):
    with pytest.raises(InputError, match=r"net\.csv" + message):
        load(topology(tmp_path, text))
