import json

import pytest

from sim.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["gemm", *arguments])
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 29), (33, 5, 70)])
@pytest.mark.parametrize("ratio", ["dense", "1:4", "2:4", "2:8", "2:16"])
@pytest.mark.parametrize("dataflow", ["os", "ws"])
def test_three_executors_agree(capsys, tmp_path, shape, ratio, dataflow):
    m, n, k = map(str, shape)
    product = ["--m", m, "--n", n, "--k", k, "--ratio", ratio, "--dataflow", dataflow]
    status, printed = run(capsys, *product, "--out", str(tmp_path), "--json")
    result = json.loads(printed.out)
    assert result == json.loads((tmp_path / "gemm.json").read_text())
    assert (status, result["words_different"], result["words_compared"]) == (0, 0, shape[0] * shape[1])
    assert result["rtl_cycles"] == result["model_cycles"]
    assert result["utilization"] == pytest.approx(result["macs"] / (16 * result["rtl_cycles"]))


def test_a_format_replaces_the_configurations(capsys, tmp_path):
    (tmp_path / "dot.toml").write_text("rows = 1\ncolumns = 1\nmultiply_latency_cycles = 1\nadd_latency_cycles = 1\n")
    product = ["--config", str(tmp_path / "dot.toml"), "--m", "3", "--n", "2", "--k", "9", "--ratio", "2:4"]
    status, printed = run(capsys, *product, "--format", "e5m2", "--out", str(tmp_path), "--json")
    result = json.loads(printed.out)
    assert (status, result["format"], result["words_different"]) == (0, "float8_e5m2", 0)
    assert result["rtl_cycles"] == result["model_cycles"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "0"], "--k must be a whole number of at least 1, not 0"),
        (["--m", "-3"], "--m must be a whole number of at least 1, not '-3'"),
        (["--ratio", "5:4"], "n must be in 1..m, not 5 (m = 4)"),
        (["--ratio", "2:32"], "needs groups of 32, but tiny is elaborated for max_group = 16"),
        (["--config", "huge"], "unknown configuration 'huge'; allowed: tiny, small, medium, vcu1525"),
        (["--dataflow", "sideways"], "'os', 'ws'"),
        (
            ["--format", "f32"],
            "unknown format 'f32'; allowed: binary16, bfloat16, float8_e4m3, float8_e4m3fn, float8_e5m2, f16, bf16, e4m3",
        ),
        (["--seed", "-1"], "--seed must be a whole number of at least 0"),
        (["--stall-probability", "1"], "must be in 0..0.95"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, arguments, message):
    status, printed = run(capsys, *arguments)
    assert (status, printed.out) == (2, "")
    assert message in printed.err
    assert printed.err.count("\n") == 1
