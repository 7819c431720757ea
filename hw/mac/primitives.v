// Models of primitives of AMD's UltraScale+ devices for simulators; synthesis has its own. Registers start at 0, as on the device.
// Of DSP48E2 there is what the project uses: one register at most at each port but B, the multiplier, no carry, no cascade but
// PCIN, ONE48. What is not there stops the simulation.
// Warnings of Verilator that are meant: several modules in a file, first values as on the device, numbers extended as Verilog says,
// parameters and inputs that are the device's and have no effect here.
/* verilator lint_save */
/* verilator lint_off DECLFILENAME */
/* verilator lint_off PROCASSINIT */
/* verilator lint_off WIDTHEXPAND */
/* verilator lint_off WIDTHTRUNC */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off VARHIDDEN */
/* verilator lint_off UNUSEDSIGNAL */

module DSP48E2 #(
  parameter integer AREG = 1, BREG = 1, CREG = 1, DREG = 1, ADREG = 1, MREG = 1, PREG = 1,
  parameter integer INMODEREG = 1, OPMODEREG = 1, ALUMODEREG = 1, ACASCREG = 1, BCASCREG = 1,
  parameter AMULTSEL = "A", USE_PATTERN_DETECT = "NO_PATDET",
  parameter [47:0] MASK = 48'h3fffffffffff, RND = 48'h0
) (
  input CLK,
  input [29:0] A, input [17:0] B, input [47:0] C, input [26:0] D, input [47:0] PCIN,
  input [4:0] INMODE, input [8:0] OPMODE, input [3:0] ALUMODE, input CARRYIN, input [2:0] CARRYINSEL,
  input CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP, CEINMODE, CECTRL, CEALUMODE, CECARRYIN,
  input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTINMODE, RSTCTRL, RSTALUMODE, RSTALLCARRYIN,
  output [47:0] P, PCOUT, output PATTERNDETECT
);
  reg [29:0] a_2 = 0;
  reg [17:0] b_1 = 0, b_2 = 0;
  reg [47:0] c_1 = 0, p_1 = 0;
  reg [26:0] d_1 = 0;
  reg [4:0] inmode_1 = 0;
  reg [8:0] opmode_1 = 0;
  reg [3:0] alumode_1 = 0;
  reg pattern_1 = 0;

  wire [4:0] inmode = INMODEREG ? inmode_1 : INMODE;
  wire [8:0] opmode = OPMODEREG ? opmode_1 : OPMODE;
  wire [3:0] alumode = ALUMODEREG ? alumode_1 : ALUMODE;
  wire [29:0] a = AREG ? a_2 : A;
  wire [17:0] b = BREG == 0 ? B : BREG == 2 && inmode[4] ? b_1 : b_2;
  wire [47:0] c = CREG ? c_1 : C;
  wire [26:0] d = DREG ? d_1 : D;

  wire [26:0] sum = (inmode[2] ? d : 27'h0) + (inmode[1] ? 27'h0 : a[26:0]);
  wire [26:0] factor = AMULTSEL == "AD" ? sum : a[26:0];
  wire [47:0] product = {{21{factor[26]}}, factor} * {{30{b[17]}}, b};
  wire [47:0] z = opmode[6:4] == 3'b001 ? PCIN
                : opmode[6:4] == 3'b011 ? c
                : opmode[6:4] == 3'b101 ? {{17{PCIN[47]}}, PCIN[47:17]} : 48'h0;
  wire [47:0] wxy = product + (opmode[8:7] == 2'b10 ? RND : 48'h0);
  wire [47:0] p = alumode == 4'b0011 ? z - wxy : z + wxy;
  wire pattern = &(~p | MASK);

  assign P = PREG ? p_1 : p;
  assign PCOUT = P;
  assign PATTERNDETECT = USE_PATTERN_DETECT == "PATDET" && (PREG ? pattern_1 : pattern);

  always @(posedge CLK) begin
    if (CEA2) a_2 <= A;
    if (CEB1) b_1 <= B;
    if (CEB2) b_2 <= BREG == 2 ? b_1 : B;
    if (CEC) c_1 <= C;
    if (CED) d_1 <= D;
    if (CEINMODE) inmode_1 <= INMODE;
    if (CECTRL) opmode_1 <= OPMODE;
    if (CEALUMODE) alumode_1 <= ALUMODE;
    if (RSTP) {pattern_1, p_1} <= 49'h0;
    else if (CEP) {pattern_1, p_1} <= {pattern, p};
  end

`ifndef SYNTHESIS
  wire unused = CEA1 | CEAD & ADREG | CEM & MREG | CARRYIN | CECARRYIN | (|CARRYINSEL)
              | RSTA | RSTB | RSTC | RSTD | RSTM | RSTINMODE | RSTCTRL | RSTALUMODE | RSTALLCARRYIN;
  wire unknown = opmode[3:0] != 4'b0101 || opmode[7]
              || opmode[6:4] != 3'b000 && opmode[6:4] != 3'b001 && opmode[6:4] != 3'b011 && opmode[6:4] != 3'b101
              || alumode != 4'b0000 && alumode != 4'b0011 || inmode[3] || inmode[0];
  reg started = 0;
  always @(posedge CLK) begin
    started <= 1;
    if (started && (unused || AREG > 1 || ADREG || MREG || CREG > 1 || DREG > 1)) begin
      $display("DSP48E2: a port or register is used that the model lacks");
      $finish;
    end
    if (started && CEP && unknown && (!OPMODEREG || opmode_1 != 0)) begin
      $display("DSP48E2: a mode is used that the model lacks: OPMODE %b, ALUMODE %b, INMODE %b", opmode, alumode, inmode);
      $finish;
    end
  end
`endif
endmodule

module MUXF7(input I0, I1, S, output O);
  assign O = S ? I1 : I0;
endmodule

module MUXF8(input I0, I1, S, output O);
  assign O = S ? I1 : I0;
endmodule

/* verilator lint_restore */
