"""The memory's timing, as the machine and the testbenches have it."""

from dataclasses import dataclass

from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Memory:
    """A memory that serves bursts in their order, see ``sim/harness/sat_bench.sv``.

    Parameters
    ----------
    latency_cycles : int
        From a burst to its first beat, or from its last beat to the answer, at the earliest, less one.
    interval_cycles : int
        Between beats, at least 1.
    """

    latency_cycles: int = 20
    interval_cycles: int = 1

    @classmethod
    def of(cls, config: AcceleratorConfig, latency: int | None = None, interval: int | None = None) -> "Memory":
        """The configuration's, or the next faster one with whole cycles between beats; but for what is given.

        A port moves a beat each way at once.
        """
        most = 2 * config.axi_data_bytes * config.dram_channels
        return cls(
            config.dram_latency_cycles if latency is None else latency,
            max(1, int(most / config.dram_bytes_per_cycle)) if interval is None else interval,
        )
