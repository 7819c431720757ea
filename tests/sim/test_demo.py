import json

import pytest

from sim import demo
from sim.cli import main


def test_the_demo_writes_its_report(tmp_path, capsys, monkeypatch):
    """The whole at a small scale."""
    small = demo.Scale(model="mlp", epochs=2, batch=8, learner_epochs=1, until=0.1, workload="cnn", accelerator="small")
    monkeypatch.setattr(demo, "Scale", lambda: small)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path), "--json"])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    result = json.loads((tmp_path / "report.json").read_text())
    assert result == json.loads(printed.out)
    assert set(result["accuracy"]) == {"dense", "bdwp"}
    learned = result["learned"]
    assert learned["reached"] and learned["step_count"] == len(learned["history"]) == 45
    assert (learned["bytes_different"], learned["cycles_different"]) == (0, 0)
    assert result["cosim"]["words_different"] == 0
    assert result["cosim"]["rtl_cycles"] == result["cosim"]["model_cycles"]
    assert {"step", "gemm"} <= set(result["report"]["speedup_over_dense"])
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in ("sat.v", "manifest.json", "layers.csv", "step.png", "roofline.png"):
        assert (tmp_path / name).stat().st_size > 0
