"""A memory of one write and one read port, which tools take for block RAM, or UltraRAM."""

from functools import partial

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.parts.modules import place

DEEP_WORDS = 4096
"""Words of an UltraRAM, 72 bits each: a memory of fewer would leave most of one empty."""


def place_ram(m: Module, platform: object, name: str, words: int, parts: int, part_bits: int, *, ultra: bool = False) -> "RAM":
    """Add a memory to `m`; see `hw.parts.modules.place`. `ultra`: the device has UltraRAM, for memories that are deep."""
    make = partial(RAM, words, parts, part_bits, ultra=ultra and words >= DEEP_WORDS)
    memory: RAM = place(m, platform, make, module=f"ram_{words}x{parts}x{part_bits}", name=name)
    return memory


class RAM(wiring.Component):
    """Words of parts that can be written each by itself; what a word holds before it is written has no meaning.

    Parameters
    ----------
    words : int
        How many.
    parts, part_bits : int
        Of a word.
    ultra : bool
        Whether tools are to take UltraRAM.

    Members
    -------
    write_address, write_data, write_parts : In
        Where, what, and which parts of it.
    read_address, read_data : In, Out
        The word that stood at the cycle before's address.
    """

    def __init__(self, words: int, parts: int, part_bits: int, *, ultra: bool = False) -> None:
        self.words, self.parts, self.part_bits = words, parts, part_bits
        self.style = "ultra" if ultra else "block"
        self.address_bits = max(1, (words - 1).bit_length())
        super().__init__(
            {
                "write_address": In(self.address_bits),
                "write_data": In(parts * part_bits),
                "write_parts": In(parts),
                "read_address": In(self.address_bits),
                "read_data": Out(parts * part_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = data.ArrayLayout(self.part_bits, self.parts)
        m.submodules.memory = memory = Memory(shape=word, depth=self.words, init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.as_value().eq(self.write_data),
            write.en.eq(self.write_parts),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m

    def verilog(self, name: str) -> str:
        """Without first contents, which would be a line a word, and which neither kind of memory needs."""
        bits, width, address = self.part_bits, self.parts * self.part_bits, self.address_bits - 1
        return f"""module {name}(clk, write_address, write_data, write_parts, read_address, read_data);
  input clk;
  input [{address}:0] write_address, read_address;
  input [{width - 1}:0] write_data;
  input [{self.parts - 1}:0] write_parts;
  output reg [{width - 1}:0] read_data;
  (* ram_style = "{self.style}" *)
  reg [{width - 1}:0] words [0:{self.words - 1}];
  integer part;
  always @(posedge clk) begin
    for (part = 0; part < {self.parts}; part = part + 1)
      if (write_parts[part])
        words[write_address][part * {bits} +: {bits}] <= write_data[part * {bits} +: {bits}];
    read_data <= words[read_address];
  end
endmodule
"""
