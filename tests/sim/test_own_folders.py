"""The command line in a project that has folders of the same names as this one's packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("nmtrain")


@pytest.mark.parametrize("package", ["hw", "sim", "dataflow", "training", "reports"])
def test_the_command_runs_beside_a_package_of_somebody_else(package, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text('raise ImportError("of somebody else")\n')
    (tmp_path / package / "cli.py").write_text("")
    command = [str(COMMAND), "export", "--config", "tiny", "--block", "nothing", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "unknown block 'nothing'" in done.stdout + done.stderr


def test_a_report_runs_beside_packages_of_somebody_else(tmp_path):
    for package in ("hw", "sim"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('raise ImportError("of somebody else")\n')
    command = [str(COMMAND), "report", "mlp", "--config", "tiny", "--batch", "2", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["cycles"]["step"] > 0
