"""The cores of a processing element: IEEE's bits, and the same in each step."""

import subprocess

from hw.config import PRESETS
from hw.mac.dsp48e2 import MODELS
from sim.rtl.mac import check_cores
from sim.simulators.verilator import build_program

STEPS = 200_000


def test_both_cores_are_ieee_arithmetic_step_for_step():
    found = check_cores(PRESETS["tiny"], ("generic", "dsp48e2"), STEPS, seed=1)
    assert (found["generic different"], found["dsp48e2 different"]) == (0, 0)
    # One in ten steps cancels ten places or more, one in a hundred meets infinity, NaN or zero; distances are all met.
    assert found["steps"] == STEPS
    assert found["cancelled"] > STEPS / 20
    assert min(found["nan"], found["infinite"], found["zero"]) > STEPS / 500
    assert found["lowest"] > STEPS / 2000


TOP = """
module top(input clk, input [8:0] opmode, output [47:0] p);
  DSP48E2 #(.AREG(0), .BREG(0), .CREG(0), .DREG(0), .ADREG(0), .MREG(0), .PREG(1), .INMODEREG(0), .OPMODEREG(0), .ALUMODEREG(0))
  dsp (.CLK(clk), .A(30'd3), .B(18'd5), .C(48'd7), .D(27'd0), .PCIN(48'd0), .INMODE(5'd0), .OPMODE(opmode), .ALUMODE(4'd0),
    .CARRYIN(1'b0), .CARRYINSEL(3'd0), .CEA1(1'b0), .CEA2(1'b0), .CEB1(1'b0), .CEB2(1'b0), .CEC(1'b0), .CED(1'b0), .CEAD(1'b0),
    .CEM(1'b0), .CEP(1'b1), .CEINMODE(1'b0), .CECTRL(1'b0), .CEALUMODE(1'b0), .CECARRYIN(1'b0), .RSTA(1'b0), .RSTB(1'b0),
    .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0), .RSTINMODE(1'b0), .RSTCTRL(1'b0), .RSTALUMODE(1'b0),
    .RSTALLCARRYIN(1'b0), .P(p), .PCOUT(), .PATTERNDETECT());
endmodule
"""
MAIN = """
#include <cstdio>
#include "Vtop.h"
#include "verilated.h"
int main() {
  Vtop top;
  for (int opmode : {0x005, 0x035, 0x033}) {  // A * B, A * B + C, and A:B + C, which the model lacks
    top.opmode = opmode;
    for (int half = 0; half < 4; half++) top.clk = half & 1, top.eval();
    std::printf("%d %d\\n", int(top.p), int(Verilated::gotFinish()));
  }
}
"""


def test_the_model_stops_at_what_it_lacks(tmp_path):
    program = build_program({"top.v": TOP, MODELS.name: MODELS.read_text()}, MAIN, tmp_path)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:2] == ["15 0", "22 0"]
    assert "DSP48E2: a mode is used that the model lacks: OPMODE 000110011" in said[2]
    assert said[-1].endswith(" 1")
