"""Verilog in the simulator that is asked for: Verilator, which the project installs, or Icarus where it is on the path."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hw.errors import InputError, SimulationError
from sim.simulators import verilator
from sim.simulators.verilator import Build, cache_folder

STANDARDS = {"icarus-2005": "-g2005", "icarus-2012": "-g2012"}
SIMULATORS = ("verilator", *STANDARDS)


def build(sources: Mapping[str, str], top: str, simulator: str = "verilator", *, note: str = "", traced: bool = False) -> Build:
    """Build a simulator, or take it from the cache; see `sim.simulators.verilator.build`.

    Parameters
    ----------
    sources, top, note, traced
        As there.
    simulator : str
        One of `SIMULATORS`; Icarus with the standard that it takes the sources for.
    """
    if simulator == "verilator":
        return verilator.build(sources, top, note=note, traced=traced)
    if simulator not in STANDARDS:
        raise InputError(f"unknown simulator {simulator!r}; allowed: {', '.join(SIMULATORS)}")
    if not shutil.which("iverilog"):
        raise InputError("Icarus Verilog (iverilog) is not on the path; Debian's package is called iverilog")
    return _icarus(sources, top, simulator, traced=traced)


DUMP = """module dump;
  reg [8191:0] path;
  initial if ($value$plusargs("dumpfile_path=%s", path)) begin
    $dumpfile(path);
    $dumpvars(0, TOP);
  end
endmodule
"""
"""Writes waveforms where the run says."""


def _icarus(sources: Mapping[str, str], top: str, simulator: str, *, traced: bool) -> Build:
    tops = ["-s", top]
    if traced:
        sources, tops = {**sources, "dump.v": DUMP.replace("TOP", top)}, [*tops, "-s", "dump"]
    key = hashlib.sha256(repr((sorted(sources.items()), top, simulator)).encode()).hexdigest()[:32]
    folder = cache_folder() / "simulators" / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}."))
        for name, text in sources.items():
            (beside / name).write_text(text, encoding="utf-8")
        command = ["iverilog", STANDARDS[simulator], *tops, "-o", "sim.vvp", *sources]
        done = subprocess.run(command, cwd=beside, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(beside)
            raise SimulationError(f"Icarus cannot compile {top}:\n{done.stderr}")
        beside.chmod(0o755)
        try:
            beside.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(beside)
    return Build(folder, top, "icarus", traced)
