"""What a board with an ECP5 adds to a serial design: the top, the constraints, and how open tools make a bitstream of it."""

from hw.boards.pins import Board
from hw.export.packaging.templates import fill


def files(board: Board, design: str) -> dict[str, str]:
    """By name; `design` is the module of the serial design."""
    return {
        f"{board.module}.v": top(board, design),
        f"{board.module}.lpf": constraints(board),
        "Makefile": fill("ecp5_board.mk", top=board.module, family=board.family, package=board.package, speed=board.speed),
    }


def top(board: Board, design: str) -> str:
    """Pins, a reset from the button in step with the clock, and the design."""
    high = "".join(f",\n  output {name}" for name in board.high)
    levels = "".join(f"  assign {name} = 1'b1;\n" for name in board.high)
    return f"""\
// The serial design on {board.name}. The reset is the button's, and for two cycles after the device is configured.
module {board.module} (
  input clk,
  input button,
  input receive,
  output transmit,
  output led{high}
);
  reg [1:0] reset;
  initial reset = 2'b11;
  always @(posedge clk) reset <= {{reset[0], button}};
{levels}  {design} design_inst (.clk(clk), .rst(reset[1]), .receive(receive), .transmit(transmit), .irq(led));
endmodule
"""


def constraints(board: Board) -> str:
    """LPF: the ball of each port, and the clock."""
    lines = []
    for name, pin in (board.pins | board.high).items():
        lines += [f'LOCATE COMP "{name}" SITE "{pin.site}";', f'IOBUF PORT "{name}" IO_TYPE=LVCMOS33 {pin.options};']
    return "\n".join([*lines, f'FREQUENCY PORT "clk" {board.clock_hz / 1e6:g} MHZ;', ""])
