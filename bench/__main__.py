"""``python -m bench [MODULE | MODULE.FUNCTION ...]``: run the measurements and write ``out/bench.json``."""

import importlib
import os
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

import bench
from hw.files import write_json

MARKS = {None: "", True: "met", False: "MISSED"}


def main(names: list[str]) -> None:
    """Run the named modules, or functions of them; without a name, all."""
    console = Console(highlight=False)
    names = names or [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name != "__main__"]
    found = []
    table = Table("figure", "value", "unit", "target", "", "configuration", box=box.SIMPLE)
    for name in names:
        console.print(f"measuring {name} …")
        module, _, function = name.partition(".")
        for figure in getattr(importlib.import_module(f"bench.{module}"), function or "figures")():
            found.append(asdict(figure) | {"met": figure.is_met})
            value = f"{figure.value:,.4g}" if figure.value < 1000 else f"{figure.value:,.0f}"
            table.add_row(figure.name, value, figure.unit, figure.target, MARKS[figure.is_met], figure.configuration)
            write_json(Path("out/bench.json"), {"cores": os.cpu_count(), "figures": found})
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
