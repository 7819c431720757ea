"""Cutting a datapath into pipeline stages."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from amaranth.hdl import Const, Module, Signal, Value, ValueLike

from hw.errors import InputError

Step = tuple[float, Callable[..., Any]]
"""A natural piece of a datapath: its relative delay, and the function ``(m, state)`` that builds it."""


def check_latency(latency_cycles: int) -> None:
    """Raise `InputError` unless a block can have this many pipeline registers."""
    if latency_cycles < 0:
        raise InputError(f"latency_cycles must be at least 0, not {latency_cycles}")


def wire(m: Module, value: ValueLike, name: str) -> Signal:
    """A named signal that carries `value` combinationally."""
    value = Value.cast(value)
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal


def spread_registers(delays: Sequence[float], latency_cycles: int) -> list[int]:
    """How many registers follow each step, so that the stages between them are about equally long.

    Register ``i`` of ``L`` follows the step at whose end the accumulated delay is nearest to ``i/L`` of the whole. The last
    register is therefore at the output, and the stages of a chain or of a loop of such blocks are balanced too. Where there
    are more registers than steps, several follow one step, for synthesis to retime.

    >>> spread_registers([2, 1, 3], 2)
    [0, 1, 1]
    >>> spread_registers([2, 1, 3], 0)
    [0, 0, 0]
    """
    ends = [sum(delays[: step + 1]) for step in range(len(delays))]
    registers = [0] * len(delays)
    for number in range(1, latency_cycles + 1):
        aim = ends[-1] * number / latency_cycles
        registers[min(range(len(ends)), key=lambda step: abs(ends[step] - aim))] += 1
    return registers


def run_pipeline(m: Module, enable: Signal, latency_cycles: int, steps: Sequence[Step], state: Any) -> Any:  # noqa: ANN401
    """Build the steps one after another with `latency_cycles` registers spread among them.

    Parameters
    ----------
    m : Module
        Where the steps are built; registers are in its ``sync`` domain, without reset, and hold while `enable` is low.
    enable : Signal
        Clock enable of every register.
    latency_cycles : int
        Registers from the first step's input to the last step's output, at least 0.
    steps : sequence of (delay, function)
        Each function takes the module and the state, a named tuple of values, and returns the next state.
    state : NamedTuple
        What enters the first step.
    """
    counts = spread_registers([delay for delay, _ in steps], latency_cycles)
    for (_, build), count in zip(steps, counts, strict=True):
        state = build(m, state)
        for _ in range(count):
            state = _register(m, enable, state, build.__name__.strip("_"))
    return state


def _register(m: Module, enable: Signal, state: NamedTuple, step: str) -> NamedTuple:
    """One register for each value of the state that is not a constant."""
    registered = {}
    for name, value in state._asdict().items():
        if isinstance(value, Const):
            registered[name] = value
        else:
            registered[name] = Signal(value.shape(), name=f"{step}_{name}", reset_less=True)
            with m.If(enable):
                m.d.sync += registered[name].eq(value)
    return state._replace(**registered)
