"""Executions that are known: the same commands on the same accelerator with the same memory take the same cycles."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from dataflow.machine import executor
from dataflow.machine.executor import Execution, execute
from dataflow.machine.native import content
from dataflow.machine.numbers import Moment
from dataflow.machine.timing import Memory
from hw.cache import cache_folder, kept
from hw.config import AcceleratorConfig
from hw.isa.commands import Command
from hw.isa.encoding import encode


def known(config: AcceleratorConfig, commands: Sequence[Command], memory: Memory) -> Execution:
    """As `dataflow.machine.executor.execute`; what has been executed before is read from the cache's folder."""

    def run() -> bytes:
        found = execute(config, commands, memory)
        return json.dumps([found.cycles, found.counters, found.stepped, found.moments]).encode()

    path = cache_folder() / "executions" / f"{_key(config, commands, memory)}.json"
    cycles, counters, stepped, moments = json.loads(kept(path, run))
    return Execution(cycles, counters, stepped, tuple(Moment(*moment) for moment in moments))


def _key(config: AcceleratorConfig, commands: Sequence[Command], memory: Memory) -> str:
    """Of all that decides the cycles: the accelerator but for its name, the program's words, the memory, the machine itself."""
    fields = {name: value for name, value in asdict(config).items() if name != "name"}
    accelerator = {name: value if isinstance(value, str) else float(value) for name, value in fields.items()}
    told = json.dumps([accelerator, asdict(memory), _machine()], sort_keys=True).encode()
    return hashlib.sha256(told + bytes(encode(commands))).hexdigest()


@cache
def _machine() -> str:
    """Of the source of the machine."""
    return hashlib.sha256(content().encode() + Path(executor.__file__).read_bytes()).hexdigest()
