"""Who reads commands or a configuration does not need Amaranth."""

import pkgutil
import subprocess
import sys

import hw.isa

PLAIN = ["hw.config", "hw.errors", "hw.files", "hw.formats", "hw.ratio"]


def test_plain_modules_do_not_import_amaranth():
    names = PLAIN + [module.name for module in pkgutil.walk_packages(hw.isa.__path__, "hw.isa.")]
    assert len(names) > len(PLAIN)
    code = f"import sys, {', '.join(names)}\nsys.exit(any(name.partition('.')[0] == 'amaranth' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
