"""`nmtrain fp` on small vector files: what it compares, what it says, how it exits."""

import json

import numpy as np
import pytest

from hw.errors import InputError
from hw.formats import BINARY16, BINARY32
from sim.cli import main
from sim.rtl.fp import run_vectors


@pytest.fixture
def fp(tmp_path, capsys):
    """Run the command on the text of a vector file; status, standard output, standard error, fp.json."""

    def run(text, *arguments):
        (tmp_path / "vectors.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(SystemExit) as ended:
            main(["fp", *arguments, "--vectors", str(tmp_path / "vectors.txt"), "--out", str(tmp_path / "out")])
        said = capsys.readouterr()
        result = tmp_path / "out" / "fp.json"
        return ended.value.code, said.out, said.err, json.loads(result.read_text()) if result.exists() else None

    return run


MULTIPLY = ("--op", "mul", "--from", "f16", "--to", "f32")


def test_equal_results(fp):
    # 1·2 = 2, the smallest subnormal squared = 2**-48, infinity·0 = NaN however it is written; blank lines are read past.
    status, out, _, result = fp("3C00 4000 40000000 00\n\n0001 0001 27800000\n7c00\t8000 FFFFFFFF 10\n", *MULTIPLY, "--json")
    assert status == 0
    assert json.loads(out) == result
    assert result == {
        "op": "mul",
        "from": "binary16",
        "to": "binary32",
        "latency_cycles": 2,
        "compared": 3,
        "different": 0,
        "mismatches": [],
    }


def test_differing_results_exit_with_1(fp):
    status, out, err, result = fp("3C00 3C00 3F800000\n3c00 3c00 3f800001\n", *MULTIPLY, "--latency", "5")
    assert (status, out) == (1, "")
    assert (result["compared"], result["different"], result["latency_cycles"]) == (2, 1, 5)
    assert result["mismatches"] == [{"line": 2, "operands": "3C00 3C00", "expected": "3F800001", "actual": "3F800000"}]
    assert "vectors.txt:2: 3C00 3C00 gives 3F800000, not 3F800001" in err.replace("\n", "")


def test_number_is_not_nan(fp):
    assert fp("3C00 3C00 7FC00000\n", *MULTIPLY)[0] == 1
    assert fp("7E00 3C00 7F800000\n", *MULTIPLY)[0] == 1


@pytest.mark.parametrize(
    "text, arguments, line",
    [
        ("", MULTIPLY, "vectors.txt: no vectors; allowed: 2 operands and a result on each line, hexadecimal"),
        ("\n \n", MULTIPLY, "vectors.txt: no vectors"),
        (
            "3C00 3C00 3F800000\n3C00 3F800000\n",
            MULTIPLY,
            "vectors.txt:2: '3C00 3F800000' is not a vector; allowed: 2 operands",
        ),
        ("3C00 3C0G 3F800000\n", MULTIPLY, "vectors.txt:1: '3C00 3C0G 3F800000' is not a vector"),
        ("3C00 -1 3F800000\n", MULTIPLY, "vectors.txt:1: '3C00 -1 3F800000' is not a vector"),
        ("3C00 3C00 3F800000 00 00\n", MULTIPLY, "is not a vector"),
        ("\n3C00 13C00 3F800000\n", MULTIPLY, "vectors.txt:2: 13C00 has more than 16 bits; allowed: at most 4 hexadecimal"),
        (b"\xff\n", MULTIPLY, "not ASCII text"),
        ("0", ("--op", "add", "--from", "f16", "--to", "f32"), "one format for operands and sum, not binary16 and binary32"),
        ("0", ("--op", "add", "--from", "f64"), "unknown format 'f64'; allowed: binary16, bfloat16, binary32"),
        ("0", ("--op", "divide", "--from", "f16"), "'divide' is not one of 'mul', 'add', 'convert'"),
    ],
)
def test_bad_input_is_one_line_and_exits_with_2(fp, text, arguments, line):
    status, out, err, result = fp(text, *arguments)
    assert (status, out, result) == (2, "", None)
    assert line in err
    assert err.count("\n") == 1


def test_missing_file(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["fp", *MULTIPLY, "--vectors", str(tmp_path / "nothing.txt")])
    assert ended.value.code == 2
    assert "nothing.txt: cannot be read: No such file or directory" in capsys.readouterr().err


def test_operands_of_the_wrong_shape():
    with pytest.raises(InputError, match=r"operands of mul must have the shape \(1 or more, 2\), not \(3, 1\)"):
        run_vectors("mul", BINARY16, BINARY32, np.zeros((3, 1), dtype=np.uint32))
