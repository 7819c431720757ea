// Plays a program's products on the STCE: operand streams from files, results to a file, and the cycle of each command.
//
// Everything that happens every cycle happens here, so that Python wakes only at the end. Operand files are binary, one
// word after the other, most significant byte first; the results are written as one line of hexadecimal digits a word.
// Widths come from the generated package `player_config`.
module player
  import player_config::*;
(
    input  logic clk,
    input  logic rst,
    output logic done  // every word of every command has been written
);
  int stall_per_mille, seed, options_file, sums_file, cycles_file, commands_left;
  longint words_left, cycle;

  logic [TILES_BITS-1:0] tiles_payload;
  logic [W2E_BITS-1:0] w2e_payload;
  logic [N2S_BITS-1:0] n2s_payload;
  logic [SUMS_BITS-1:0] o_payload;
  logic tiles_valid, tiles_ready, w2e_valid, w2e_ready, n2s_valid, n2s_ready, o_valid, o_ready;

  file_source #(.BITS(TILES_BITS), .FILE("tiles.bin")) tiles_source (
      .clk, .rst, .stall_per_mille(0), .valid(tiles_valid), .ready(tiles_ready), .payload(tiles_payload));
  file_source #(.BITS(W2E_BITS), .FILE("w2e.bin")) w2e_source (
      .clk, .rst, .stall_per_mille, .valid(w2e_valid), .ready(w2e_ready), .payload(w2e_payload));
  file_source #(.BITS(N2S_BITS), .FILE("n2s.bin")) n2s_source (
      .clk, .rst, .stall_per_mille, .valid(n2s_valid), .ready(n2s_ready), .payload(n2s_payload));

  stce dut (
      .clk, .rst,
      .i_tiles__payload(tiles_payload), .i_tiles__valid(tiles_valid), .i_tiles__ready(tiles_ready),
      .i_w2e__payload(w2e_payload), .i_w2e__valid(w2e_valid), .i_w2e__ready(w2e_ready),
      .i_n2s__payload(n2s_payload), .i_n2s__valid(n2s_valid), .i_n2s__ready(n2s_ready),
      .o__payload(o_payload), .o__valid(o_valid), .o__ready(o_ready));

  // Words of each command, in order; the file ends where the program does.
  int words_file;
  function automatic longint next_words();
    longint words;
    return $fread(words, words_file) == 8 ? words : 0;
  endfunction

  initial begin
    options_file = $fopen("options.txt", "r");
    if ($fscanf(options_file, "%d %d", stall_per_mille, seed) != 2) $fatal(1, "options.txt is missing");
    void'($urandom(seed));
    words_file = $fopen("words.bin", "rb");
    sums_file = $fopen("sums.hex", "w");
    cycles_file = $fopen("cycles.txt", "w");
    words_left = next_words();
    done = 0;
    cycle = 0;
  end

  // Cycles count from the one in which the first command is taken, itself included.
  logic running;
  always_ff @(posedge clk) begin
    o_ready <= $urandom_range(999) >= 32'(stall_per_mille);
    if (rst) running <= 0;
    else if (tiles_valid && tiles_ready) running <= 1;
    if (running || (tiles_valid && tiles_ready)) cycle <= cycle + 1;
    if (o_valid && o_ready && !rst) begin
      $fwrite(sums_file, "%h\n", o_payload);
      words_left = words_left - 1;
      if (words_left == 0) begin
        $fwrite(cycles_file, "%0d\n", cycle + 1);
        $fflush(cycles_file);
        words_left = next_words();
        if (words_left == 0) begin
          $fclose(sums_file);
          $fclose(cycles_file);
          done <= 1;
        end
      end
    end
  end
endmodule


// A stream of the words of a binary file, held back at random.
module file_source #(
    parameter int BITS = 8,
    parameter string FILE = ""
) (
    input  logic clk,
    input  logic rst,
    input  int stall_per_mille,
    output logic valid,
    input  logic ready,
    output logic [BITS-1:0] payload
);
  localparam int BYTES = (BITS + 7) / 8;
  int file;
  logic [8*BYTES-1:0] word;
  initial file = $fopen(FILE, "rb");
  always_ff @(posedge clk) begin
    if (rst) valid <= 0;
    else if (!valid || ready) begin
      valid <= 0;
      if ($urandom_range(999) >= 32'(stall_per_mille)) begin
        if ($fread(word, file) == BYTES) begin
          payload <= word[BITS-1:0];
          valid <= 1;
        end
      end
    end
  end
endmodule
