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


def test_a_last_window_hangs_over_as_in_the_published_resnet50(tmp_path):
    """Its table says itself that the first layer has 110 x 110 outputs."""
    text = CONV.strip() + ",,Eh,Ew,e2\n,,,,,,,,,,\nConv1,224,224,7,7,3,64,2,,,110,110,12100\nCB2a_1,56,56,1,1,64,64,1,,,,,\n"
    found = load(topology(tmp_path, text))
    assert found.network.shapes["Conv1"] == (110, 110, 64)
    assert [note.split("'")[1] for note in found.notes] == ["Eh", "Ew", "e2"]


@pytest.mark.parametrize(
    "heading",
    [
        "Layer name,Ifmap height,ifmap width,filter height,filter width,channels,num filters,strides,",
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides, Sparsity,",
        "Layer name\t IFMAP Height\t IFMAP Width\t Filter Height\t Filter Width\t Channels\t Num Filter\t Strides\t ",
    ],
)
def test_headings_as_published(tmp_path, heading):
    row = "c, 9, 9, 3, 3, 4, 6, 2, 1:4,".replace(", ", "\t" if "\t" in heading else ",")
    assert products(load(topology(tmp_path, f"{heading}\n{row}\n")).network) == {"c": (1, 6, 16, 36)}


def test_two_strides(tmp_path):
    heading = CONV.replace("Strides", "Stride Height, Stride Width")
    network = load(topology(tmp_path, heading + "c, 9, 9, 3, 3, 4, 6, 2, 3,\n")).network
    assert network.shapes["c"] == (4, 3, 6)


def test_depthwise_layers_and_names_that_come_again(tmp_path):
    network = load(
        topology(tmp_path, CONV + "DP1, 9, 9, 3, 3, 4, 2, 1,\nc, 7, 7, 1, 1, 8, 5, 1,\nc, 7, 7, 1, 1, 5, 5, 1,\n")
    ).network
    assert products(network) == {"DP1": (4, 2, 49, 9), "c": (1, 5, 49, 8), "c.2": (1, 5, 49, 5)}


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
        (CONV + "c, 8, 8, 3, 3, 4, 6, 0,\n", r":2: c: Strides must be a whole number of at least 1, not 0"),
        (CONV + "c, 8, 8, 3, 3, 4,\n", r":2: c: 7 numbers must follow the name, not 6"),
        (CONV + "c, 8, 8, 9, 3, 4, 6, 1,\n", r":2: c: Filter Height must be at most IFMAP Height 8, not 9"),
        ("Layer, IFMAP Height, M, N, K\n", r":1: heading must be .*not 'Layer, IFMAP Height, M, N, K'"),
        (CONV + ",,,\n\nc, 8, 8, 3, 3, 4, 6, 1,\nd, 8, 8, 3, 3, x, 6, 1,\n", r":5: d: Channels must be .*not 'x'"),
    ],
)
def test_wrong_tables_say_line_and_what_is_allowed(tmp_path, text, message):
    with pytest.raises(InputError, match=r"net\.csv" + message):
        load(topology(tmp_path, text))
