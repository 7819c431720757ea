"""A window that slides along an axis, and which taps of it reach an input position: what an input gradient is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import gcd


@dataclass(frozen=True)
class Phase:
    """Input positions ``start + stride * t`` for t < `positions`, and the taps that reach them.

    Tap u < `taps` is ``tap + tap_step * u`` of the kernel; it reads output position ``origin + t - step * u``.
    """

    start: int
    positions: int
    tap: int
    tap_step: int
    taps: int
    origin: int
    step: int

    def reached(self, position: int, outputs: int) -> range:
        """Taps u at `position` that read one of the `outputs`, not beside them."""
        first = self.origin + position
        low = max(-(-(first - outputs + 1) // self.step), 0)
        return range(low, max(min(first // self.step + 1, self.taps), low))


@dataclass(frozen=True)
class Window:
    """One axis that a kernel slides over: ``input = output * stride + tap * dilation - padding``."""

    size: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The input positions by their remainder modulo the stride, those that no tap reaches left out."""
        phases = (self._phase(start) for start in range(min(self.stride, self.size)))
        return tuple(phase for phase in phases if phase is not None)

    @property
    def gradient_phases(self) -> tuple[Phase, ...]:
        """`phases`, cut where the taps change if they would multiply at least as many zeros beside the outputs as outputs.

        So it is where little of the input is padded and outputs are few, down to one of a window as large as the input.
        """
        if self._multiplied < 2 * self.outputs * self.kernel:
            return self.phases
        return tuple(run for phase in self.phases for run in self._runs(phase))

    def useful(self, phase: Phase) -> int:
        """Products of a phase that count as work: those beside the outputs do where the forward pass has as many of its own."""
        if self._multiplied <= self.outputs * self.kernel:
            return phase.positions * phase.taps
        return sum(len(phase.reached(position, self.outputs)) for position in range(phase.positions))

    @property
    def _multiplied(self) -> int:
        """Products of all phases, zeros beside the outputs included."""
        return sum(phase.positions * phase.taps for phase in self.phases)

    def _runs(self, phase: Phase) -> Iterator[Phase]:
        """Neighbouring positions that are reached by the same taps, those that none reaches left out."""
        taps = groupby(range(phase.positions), key=lambda position: phase.reached(position, self.outputs))
        for reached, places in taps:
            positions = list(places)
            if reached:
                yield replace(
                    phase,
                    start=phase.start + self.stride * positions[0],
                    positions=len(positions),
                    tap=phase.tap + phase.tap_step * reached[0],
                    taps=len(reached),
                    origin=phase.origin + positions[0] - phase.step * reached[0],
                )

    def _phase(self, start: int) -> Phase | None:
        common = gcd(self.stride, self.dilation)
        tap_step = self.stride // common
        reach = start + self.padding
        tap = next((tap for tap in range(min(tap_step, self.kernel)) if (reach - tap * self.dilation) % self.stride == 0), None)
        if tap is None:
            return None
        return Phase(
            start=start,
            positions=-(-(self.size - start) // self.stride),
            tap=tap,
            tap_step=tap_step,
            taps=-(-(self.kernel - tap) // tap_step),
            origin=(reach - tap * self.dilation) // self.stride,
            step=self.dilation // common,
        )
