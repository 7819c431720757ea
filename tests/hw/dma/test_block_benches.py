"""Blocks of the accelerator in cocotb: benches that users may begin their own from."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import both_bench
import pytest
from test_dma import Copy

from hw.accelerator.dispatch import Dispatch
from hw.config import PRESETS
from hw.export.folder import export_folder, to_verilog
from hw.export.packaging.fusesoc_core import LINT_FLAGS
from sim import simulators
from sim.simulators.compilation import package_folder

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("case", ["copies", "asks_for_nothing_while_halted"])
def test_readers_and_writers(bench, case):
    bench({"copy.v": to_verilog(Copy(TINY), "copy")}, "copy", "dma_bench", case)


def test_the_dispatcher(bench):
    bench({"dispatch.v": to_verilog(Dispatch(TINY), "dispatch")}, "dispatch", "dispatch_bench")


def both():
    """The transposition of two configurations, each as it is exported, under one top."""
    ports, instances, texts = [], [], []
    for name, size in both_bench.SIZES.items():
        config, bits = replace(TINY, name=name, max_group=size, sore_lanes=size), size * both_bench.WIDTH - 1
        files = export_folder(config, "transpose")
        texts.append(files["transpose.v"])
        streams = [("i", "input", "output"), ("o", "output", "input")]
        for stream, way, back in streams:
            ports += [
                f"{way} [{bits}:0] {name}_{stream}__payload",
                f"{way} {name}_{stream}__valid",
                f"{back} {name}_{stream}__ready",
            ]
        joined = [f".{stream}__{end}({name}_{stream}__{end})" for stream in "io" for end in ("payload", "valid", "ready")]
        instances.append(f"{json.loads(files['manifest.json'])['top']} {name} (.clk(clk), .rst(rst), {', '.join(joined)});")
    top = f"module both(input clk, input rst, {', '.join(ports)});\n" + "\n".join(instances) + "\nendmodule\n"
    return {"both.v": top, "four.v": texts[0], "two.v": texts[1]}


@pytest.mark.parametrize("simulator", simulators.SIMULATORS)
def test_two_configurations_run_in_one_design(tmp_path, monkeypatch, simulator):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    if simulator != "verilator" and not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    simulators.build(both(), "both", simulator).run("both_bench", work=tmp_path, environment={})


def test_two_configurations_lint_in_one_design(tmp_path):
    for name, text in both().items():
        (tmp_path / name).write_text(text)
    package = package_folder("verilator")
    command = [package / "bin" / "verilator_bin", "--lint-only", *LINT_FLAGS, "--top-module", "both", *tmp_path.glob("*.v")]
    done = subprocess.run(command, env={"VERILATOR_ROOT": str(package)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
