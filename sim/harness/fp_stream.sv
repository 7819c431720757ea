// Streams operands.bin through a floating-point block, a pair of operands a cycle, and writes every result to results.bin.
// Each file is a sequence of 32-bit words: a, b, a, b ... with the highest byte first, and results with the lowest first.
module fp_stream (
    input  logic clk,
    output logic done = 0
);
  integer operands, results;
  initial begin
    operands = $fopen("operands.bin", "rb");
    results = $fopen("results.bin", "wb");
  end

  logic [63:0] pair;
  logic [31:0] a, b, o;
  logic        valid_in = 0, valid_out;
  logic        drained = 0;

  fp_block block (
      .clk(clk), .rst(1'b0),
      .a(a), .b(b), .i_valid(valid_in),
      .o(o), .o_valid(valid_out)
  );

  always @(posedge clk) begin
    valid_in <= $fread(pair, operands) == 8;
    {a, b} <= pair;
    if (valid_out) $fwrite(results, "%u", o);
    drained <= valid_out;
    if (drained && !valid_out && !done) begin
      $fclose(results);
      done <= 1;
    end
  end
endmodule
