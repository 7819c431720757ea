"""One frozen description of an accelerator, which every layer of the project takes unchanged (plain Python)."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from hw.cores import DSP48E2, GENERIC, LATENCIES, check_core
from hw.errors import InputError
from hw.formats import FORMATS, FloatFormat, parse_format
from hw.inputs import SHOWN, parse_toml, read_text, shown
from hw.ratio import Ratios

SELECT_LATENCY_CYCLES = 1
"""Of the reduction engine, from a group's last word to its first packed one."""

TURN_LATENCY_CYCLES = 1
"""Of the transposition, from a block's last word to its first turned one."""

MOST_ADD_LATENCY_CYCLES = 14
"""An adder's result is back in the reduction unit's memory before the sixteenth word behind its operand."""

FILE_BYTES = 1 << 16
"""Of a configuration file, at most."""


def _upto(most: int, *, least: int = 1) -> Any:  # noqa: ANN401 (pydantic's type is its own affair)
    """A whole number from `least` to `most`: what lies beyond is a slip, and would only be found out by waiting for it."""
    return Field(ge=least, le=most, strict=True)


Edge = Annotated[int, _upto(1024)]
"""USPEs along an edge of the array, or lanes of an engine."""
Depth = Annotated[int, _upto(64)]
"""Pipeline registers."""
Buffer = Annotated[int, _upto(1 << 30, least=16)]
"""Bytes of an on-chip buffer."""

MOST_ADDRESS_BITS = 40
"""Of an address in the window, as commands have it."""

MOST_COUNT_BITS = 24
"""Of counters of tiles, elements, rounds, shares, and words of a buffer."""

LEAST_BYTES_PER_SECOND = 1e3
"""Of a memory channel."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AcceleratorConfig:
    """An accelerator: the array, its arithmetic, its vector engines, its buffers and its memory.

    Parameters
    ----------
    name : str
        What reports call it; also the suffix of exported file names.
    rows, columns : int
        USPEs of the array, each at least 1. Weights enter at the west of a row, activations at the north of a column.
    max_group : int
        The largest M of an N:M ratio that the hardware is elaborated for: 2, 4, 8, 16 or 32.
    storage : str
        Name of the storage format of operands, see `hw.formats.FORMATS`. Accumulation is always binary32.
    multiply_latency_cycles, add_latency_cycles : int
        Pipeline registers in a USPE's multiplier and accumulator, each at least 1, the accumulator's at most 14. The
        accumulator's latency is also the number of *interleave slots*: independent outputs that a USPE keeps in flight, held in
        the adder's own pipeline.
    uspe_core : str
        What a USPE multiplies and adds with: ``generic``, plain logic, or ``dsp48e2``, blocks of UltraScale+ devices. The bits
        and the cycles are the same. The second has latencies of 2 and 4 cycles, and no bfloat16.
    clock_hz : float
        The clock.
    sore_lanes, wuve_lanes, vpu_lanes : int
        Lanes of the reduction, weight-update and vector engines. In the whole accelerator the first two are equal, and at most
        as many as the last.
    adamw : bool
        Whether the update engine has AdamW beside SGD with momentum.
    w2e_buffer_bytes, n2s_buffer_bytes, output_buffer_bytes : int
        On-chip buffers, with all that they hold beside what is in use.
    ultra_ram : bool
        Whether the device has UltraRAM: tools are asked for it where a memory of a buffer is deep enough, else for block RAM.
    partial_sum_words : int
        Vectors of partial sums that a weight-stationary product may keep between two tiles of its reduction.
    dram_channels : int
        Memory channels, each behind a memory port of its own: 1, 2 or 4.
    dram_channel_bytes_per_second : float
        Peak bandwidth of one channel, reads and writes together; at most what its port moves, a beat each way in a cycle.
        0 stands for that.
    dram_latency_cycles : int
        Cycles from a read request to its first beat.
    axi_data_bits : int
        Width of each memory port: 64, 128, 256 or 512.
    axi_burst_beats : int
        Longest burst, 1 to 256 beats.
    axi_fifo_beats : int
        Beats that each stream from memory may have on their way or waiting, at least a burst.
    address_bits : int
        Of an address in the window, 16 to 40: addresses are counted modulo ``2 ** address_bits``.
    count_bits : int
        Of counters of tiles, elements, rounds, shares and words of a buffer, 16 to 24.
    """

    name: str
    rows: Edge
    columns: Edge
    max_group: Annotated[int, _upto(32, least=2)] = 16
    storage: str = "binary16"
    multiply_latency_cycles: Depth = 2
    add_latency_cycles: Annotated[int, _upto(MOST_ADD_LATENCY_CYCLES)] = 4
    uspe_core: str = GENERIC
    clock_hz: Annotated[float, Field(ge=1e3, le=1e11, allow_inf_nan=False)] = 200e6
    sore_lanes: Edge = 4
    wuve_lanes: Edge = 4
    vpu_lanes: Edge = 4
    adamw: Annotated[bool, Field(strict=True)] = False
    w2e_buffer_bytes: Buffer = 64 * 1024
    n2s_buffer_bytes: Buffer = 64 * 1024
    output_buffer_bytes: Buffer = 64 * 1024
    ultra_ram: Annotated[bool, Field(strict=True)] = False
    partial_sum_words: Annotated[int, _upto(1 << 20)] = 512
    dram_channels: Annotated[int, _upto(4)] = 1
    dram_channel_bytes_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    dram_latency_cycles: Annotated[int, _upto(1 << 20)] = 40
    axi_data_bits: Annotated[int, _upto(512, least=64)] = 64
    axi_burst_beats: Annotated[int, _upto(256)] = 16
    axi_fifo_beats: Annotated[int, _upto(1 << 16)] = 64
    address_bits: Annotated[int, _upto(MOST_ADDRESS_BITS, least=16)] = MOST_ADDRESS_BITS
    count_bits: Annotated[int, _upto(MOST_COUNT_BITS, least=16)] = MOST_COUNT_BITS

    def __post_init__(self) -> None:
        if self.axi_data_bits not in (64, 128, 256, 512):
            raise ValueError(f"axi_data_bits must be 64, 128, 256 or 512, not {self.axi_data_bits}")
        if self.dram_channels not in (1, 2, 4):
            raise ValueError(f"dram_channels must be 1, 2 or 4, not {self.dram_channels}")
        most = self.port_bytes_per_second
        if self.dram_channel_bytes_per_second and not LEAST_BYTES_PER_SECOND <= self.dram_channel_bytes_per_second <= most:
            raise ValueError(
                f"dram_channel_bytes_per_second must be in {LEAST_BYTES_PER_SECOND:g}..{most:g}, which is a beat of "
                f"{self.axi_data_bits} bits each way in every cycle, or 0, which stands for that, not "
                f"{self.dram_channel_bytes_per_second:g}"
            )
        if self.axi_fifo_beats < self.axi_burst_beats:
            raise ValueError(
                f"axi_fifo_beats must be at least axi_burst_beats, {self.axi_burst_beats}, not {self.axi_fifo_beats}"
            )
        if self.max_group not in (2, 4, 8, 16, 32):
            raise ValueError(f"max_group must be 2, 4, 8, 16 or 32, not {self.max_group}")
        if self.storage not in FORMATS or FORMATS[self.storage].width > 16:
            narrow = [name for name, known in FORMATS.items() if known.width <= 16]
            raise ValueError(f"storage must be one of {', '.join(narrow)}, not {shown(self.storage)}")
        check_core(self.uspe_core, self.storage, **{name: getattr(self, name) for name in LATENCIES})
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", self.name):
            raise ValueError(f"name must be a letter, then at most 63 letters, digits, '_' or '-', not {shown(self.name)}")

    @property
    def axi_data_bytes(self) -> int:
        """Bytes of a beat."""
        return self.axi_data_bits // 8

    @property
    def most_counted(self) -> int:
        """Most of anything that is counted."""
        return (1 << self.count_bits) - 1

    @property
    def writer_beats(self) -> int:
        """Beats inside a writer: one burst leaves while the next is put together."""
        return 2 * self.axi_burst_beats

    @property
    def port_bytes_per_second(self) -> float:
        """What a memory port can move: a beat read and a beat written in every cycle."""
        return 2 * self.axi_data_bytes * self.clock_hz

    @property
    def storage_format(self) -> FloatFormat:
        """Format of operands in memory and on the array's edges."""
        return parse_format(self.storage)

    @property
    def index_bits(self) -> int:
        """Bits of an index within a group at the array's west edge."""
        return (self.max_group - 1).bit_length()

    @property
    def interleave_slots(self) -> int:
        """Independent accumulations that a USPE keeps in flight."""
        return self.add_latency_cycles

    @property
    def uspe_latency_cycles(self) -> int:
        """Steps from a weight at a USPE's west to its sum, which the link to the east then takes: keep, multiply, add."""
        return 1 + self.multiply_latency_cycles + self.add_latency_cycles

    @property
    def drain_steps(self) -> int:
        """Steps in which a tile's results leave a row: one word each."""
        return self.columns * self.interleave_slots

    @property
    def stationary_steps(self) -> int:
        """Steps from a vector's activations at the first column of a weight-stationary array to its sums at the edge."""
        return 1 + self.multiply_latency_cycles + self.columns * self.add_latency_cycles

    @property
    def stationary_skew_steps(self) -> int:
        """Steps by which a weight-stationary array's last column is behind its first one."""
        return (self.columns - 1) * self.add_latency_cycles

    @property
    def stationary_period_steps(self) -> int:
        """Shortest tile of a weight-stationary product: a partial sum is back in time, the tile before has left the array."""
        back = self.columns * self.add_latency_cycles + self.array_latency_cycles + 2
        return max(back, self.stationary_steps)

    @property
    def array_latency_cycles(self) -> int:
        """Cycles from the step that brings a word of sums to the array's east edge until all of its rows are there."""
        return self.rows - 1 + self.columns

    @property
    def result_fifo_words(self) -> int:
        """Room for results behind the array: what is on its way at full rate, and as much again to ride out stalls."""
        return 2 * (self.array_latency_cycles + 2)

    @property
    def stce_latency_cycles(self) -> int:
        """Cycles from a command taken by the STCE until its last word of results is offered, beyond its steps.

        One to load the command; the drain of the last tile, which begins with the first slot of its last round; the way
        through the array; the result FIFO.
        """
        drain = self.uspe_latency_cycles + self.drain_steps - self.interleave_slots
        return 1 + drain + self.array_latency_cycles + 1

    @property
    def vector_latency_cycles(self) -> int:
        """Pipeline registers of each binary32 operation in the update and vector engines: those of the USPE's adder."""
        return self.add_latency_cycles

    @property
    def wuve_latency_cycles(self) -> int:
        """Cycles through the update engine: unscale, pruned and weight decay, momentum, rate, subtract, round."""
        return 7 * self.vector_latency_cycles

    @property
    def forward_copy_latency_cycles(self) -> int:
        """Cycles from the last gradients of a forward group taken to its first packed word offered."""
        return self.wuve_latency_cycles + SELECT_LATENCY_CYCLES

    @property
    def backward_copy_latency_cycles(self) -> int:
        """Cycles, beyond the M of its group, from the last gradients of a block taken to its first packed word offered."""
        # A group's first turned word is taken in the cycle in which it is offered, its last one M - 1 cycles later.
        return self.forward_copy_latency_cycles + TURN_LATENCY_CYCLES - 1

    @property
    def turned_block_words(self) -> int:
        """Words of the block of weights that is turned for the backward copy: M · M elements on `sore_lanes` lanes."""
        return self.max_group * max(1, self.max_group // self.sore_lanes)

    @property
    def weight_buffer_words(self) -> int:
        """Words of each bank of the weights' buffer, `max_group` weights with their indices each."""
        return 8 * self.w2e_buffer_bytes // (self.rows * self.max_group * (self.storage_format.width + self.index_bits))

    @property
    def activation_buffer_words(self) -> int:
        """Words of each bank of the activations' buffer, `max_group` activations each."""
        return 8 * self.n2s_buffer_bytes // (self.columns * self.max_group * self.storage_format.width)

    @property
    def result_buffer_words(self) -> int:
        """Words of R sums that a tile may have: half of the output buffer's."""
        return self.output_buffer_bytes // (2 * 4 * self.rows)

    @property
    def vpu_latency_cycles(self) -> int:
        """Cycles through the vector engine: widen, scale, shift, function, add residual, multiply, narrow."""
        return 6 * self.vector_latency_cycles + self.function_latency_cycles

    @property
    def function_latency_cycles(self) -> int:
        """Cycles through a function: to its table, the parabola, rounding."""
        return 3 * self.vector_latency_cycles

    @property
    def macs_per_cycle(self) -> int:
        """Peak multiply-accumulates per cycle."""
        return self.rows * self.columns

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Peak memory bandwidth in bytes per clock cycle, reads and writes together."""
        return self.dram_channels * self.channel_bytes_per_second / self.clock_hz

    @property
    def channel_bytes_per_second(self) -> float:
        """Peak bandwidth of one memory channel."""
        return self.dram_channel_bytes_per_second or self.port_bytes_per_second

    def check_ratio(self, ratios: Ratios) -> None:
        """Raise `InputError` unless this accelerator can run `ratios`."""
        for ratio in ratios.each:
            if not ratio.is_dense and ratio.m > self.max_group:
                raise InputError(
                    f"ratio {ratio} needs groups of {ratio.m}, but {self.name} is elaborated for max_group = {self.max_group}"
                )


PRESETS: dict[str, AcceleratorConfig] = {
    config.name: config
    for config in (
        AcceleratorConfig(name="tiny", rows=4, columns=4),
        AcceleratorConfig(name="small", rows=8, columns=8, sore_lanes=8, wuve_lanes=8, vpu_lanes=8, axi_data_bits=128),
        AcceleratorConfig(
            name="medium", rows=16, columns=16, sore_lanes=16, wuve_lanes=16, vpu_lanes=16,
            w2e_buffer_bytes=256 * 1024, n2s_buffer_bytes=256 * 1024, output_buffer_bytes=256 * 1024, axi_data_bits=256,
        ),
        AcceleratorConfig(
            name="vcu1525", rows=32, columns=32, uspe_core=DSP48E2, sore_lanes=16, wuve_lanes=16, vpu_lanes=32,
            w2e_buffer_bytes=1024 * 1024, n2s_buffer_bytes=8 * 1024 * 1024, output_buffer_bytes=4 * 1024 * 1024, ultra_ram=True,
            axi_data_bits=512,
            dram_channel_bytes_per_second=19.2e9,
        ),
        AcceleratorConfig(
            name="ecp5", rows=2, columns=2, max_group=4, sore_lanes=2, wuve_lanes=2, vpu_lanes=2, w2e_buffer_bytes=4096,
            n2s_buffer_bytes=4096, output_buffer_bytes=4096, partial_sum_words=128, axi_burst_beats=8, axi_fifo_beats=16,
            clock_hz=25e6, address_bits=18, count_bits=16,
        ),
    )
}  # fmt: skip


ADAMW = "-adamw"
"""Behind the name of a preset: it has AdamW."""


def load_config(name: str) -> AcceleratorConfig:
    """A preset by its name, perhaps with `ADAMW` behind it, or a TOML file of the fields of `AcceleratorConfig`.

    Raises
    ------
    InputError
        With file, line and field where the file is wrong.
    """
    preset = PRESETS.get(name.removesuffix(ADAMW))
    if preset:
        return replace(preset, name=name, adamw=True) if name.endswith(ADAMW) else preset
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"unknown configuration {name!r}; allowed: {', '.join(PRESETS)}, {ADAMW} behind it, or a .toml file")
    text = read_text(path, most_bytes=FILE_BYTES)
    values = parse_toml(text, str(path))
    values.setdefault("name", re.sub(r"[^A-Za-z0-9_-]", "_", path.stem))
    try:
        return TypeAdapter(AcceleratorConfig).validate_python(values)
    except ValidationError as error:
        raise InputError(_describe(path, text, error)) from None


def _describe(path: Path, text: str, error: ValidationError) -> str:
    """The first fault of a configuration file as one line with file, line and field."""
    fault = error.errors()[0]
    field = str(fault["loc"][0]) if fault["loc"] else ""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "unexpected_keyword_argument":
        message = f"no such field; allowed: {', '.join(f.name for f in fields(AcceleratorConfig))}"
    elif fault["type"] == "missing":
        message = "is required"
    elif fault["type"] == "less_than_equal":
        message = f"{shown(fault['input'])} is too large: at most {fault['ctx']['le']:,.15g}"
    elif field:
        message = f"{message[0].lower()}{message[1:]}, not {shown(fault['input'])}"
    field = field or message.split()[0]
    lines = (number for number, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*{re.escape(field)}\s*=", line))
    line = next(lines, None)
    where = f"{path}:{line}" if line else f"{path}"
    return f"{where}: {field[:SHOWN]}: {message}"
