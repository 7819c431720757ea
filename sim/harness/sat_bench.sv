// The accelerator with a memory behind its AXI4 masters, for whole programs: Python wakes at interrupts only.
//
// The memory is deterministic, and the same behind each port. At each port a burst of reads is taken in each cycle in which it is offered and fewer than 64 are under way; its
// first beat is on offer at the earliest `latency` + 1 cycles later, and beats are at least `interval` cycles apart, bursts in
// the order in which they were taken. Beats to be written are taken `interval` cycles apart at the soonest, in a cycle in which
// their address has been taken before; the answer comes `latency` + 1 cycles after the last beat. Bytes beyond the memory
// are answered with DECERR.
//
// With a `seed` it does what AXI allows it: each channel stalls at random, in `stalls` of 256 cycles; of the oldest read bursts of
// all identifiers any gives the next beat, and answers to writes of different identifiers overtake each other.
//
// Beat `faulty_read` of the reads since the last dump, and answer `faulty_write`, are answered with `fault` instead; -1: none.
// `faulty` says whether that was so, `faulty_stream` and `faulty_address` of which burst.
// options.txt: latency, interval, seed, stalls, journal, bytes of the memory. With a `journal`, writes.bin gets a record a beat that is written, as 32-bit
// words: the stream, the beat's address in the memory, strobes, data. It begins anew after each `dump`. The memory is zeros at first; `load` takes a part of it from load.bin, `dump`
// writes one to dump.bin: `part_bytes` from byte `part_first` on, whole beats.
`define SAT_BENCH_PORTS \
    input  logic clk, \
    input  logic rst, \
    input  logic load, \
    input  logic dump, \
    input  int   part_first, \
    input  int   part_bytes, \
    input  int   faulty_read, \
    input  int   faulty_write, \
    input  logic [1:0] fault, \
    output logic faulty, \
    output logic [3:0] faulty_stream, \
    output logic [63:0] faulty_address, \
    output logic interrupted, \
    output longint transfers, \
    output longint violations, \
    input  logic [11:0] s_axi_awaddr, input logic s_axi_awvalid, output logic s_axi_awready, \
    input  logic [31:0] s_axi_wdata, input logic s_axi_wvalid, output logic s_axi_wready, \
    output logic [1:0] s_axi_bresp, output logic s_axi_bvalid, input logic s_axi_bready, \
    input  logic [11:0] s_axi_araddr, input logic s_axi_arvalid, output logic s_axi_arready, \
    output logic [31:0] s_axi_rdata, output logic [1:0] s_axi_rresp, output logic s_axi_rvalid, input logic s_axi_rready

module sat_with_memory
  import sat_config::*;
(
  `SAT_BENCH_PORTS
);
  localparam int BYTES = DATA_BITS / 8;

  logic reset;
  always_ff @(posedge clk) reset <= rst;

  typedef struct packed {
    logic [3:0] id;
    logic [63:0] address;
    logic [7:0] length;
    longint ready;
    logic [8:0] beat;
  } burst_t;

  logic [3:0] arid[PORTS], awid[PORTS], rid[PORTS], bid[PORTS];
  logic [63:0] araddr[PORTS], awaddr[PORTS];
  logic [7:0] arlen[PORTS], awlen[PORTS];
  logic arvalid[PORTS], arready[PORTS], awvalid[PORTS], awready[PORTS], wvalid[PORTS], wready[PORTS], wlast[PORTS];
  logic rvalid[PORTS], rready[PORTS], rlast[PORTS], bvalid[PORTS], bready[PORTS];
  logic [DATA_BITS-1:0] wdata[PORTS], rdata[PORTS];
  logic [BYTES-1:0] wstrb[PORTS];
  logic [1:0] rresp[PORTS], bresp[PORTS], arburst[PORTS], awburst[PORTS];
  logic [2:0] arsize[PORTS], awsize[PORTS];

  sat dut (
      .clk, .rst(reset), .irq(interrupted),
      .s_axi_awaddr, .s_axi_awprot(3'b0), .s_axi_awvalid, .s_axi_awready,
      .s_axi_wdata, .s_axi_wstrb(4'hf), .s_axi_wvalid, .s_axi_wready,
      .s_axi_bresp, .s_axi_bvalid, .s_axi_bready,
      .s_axi_araddr, .s_axi_arprot(3'b0), .s_axi_arvalid, .s_axi_arready,
      .s_axi_rdata, .s_axi_rresp, .s_axi_rvalid, .s_axi_rready,
      `SAT_MASTERS
  );

  longint moved[5+PORTS], broken[5+PORTS];
  for (genvar p = 0; p < PORTS; p++) begin : master
    axi_checker #(DATA_BITS, 4) m_axi (.clk, .rst(reset),
        .arid(arid[p]), .awid(awid[p]), .rid(rid[p]), .bid(bid[p]), .araddr(araddr[p]), .awaddr(awaddr[p]),
        .arlen(arlen[p]), .awlen(awlen[p]), .arsize(arsize[p]), .awsize(awsize[p]), .arburst(arburst[p]), .awburst(awburst[p]),
        .rresp(rresp[p]), .bresp(bresp[p]), .arvalid(arvalid[p]), .arready(arready[p]), .awvalid(awvalid[p]),
        .awready(awready[p]), .wvalid(wvalid[p]), .wready(wready[p]), .wlast(wlast[p]), .rvalid(rvalid[p]), .rready(rready[p]),
        .rlast(rlast[p]), .bvalid(bvalid[p]), .bready(bready[p]), .wdata(wdata[p]), .rdata(rdata[p]), .wstrb(wstrb[p]),
        .transfers(moved[5+p]), .violations(broken[5+p]));
  end
  axi_channel #(12, "control AW") control_aw (.clk, .rst(reset), .valid(s_axi_awvalid), .ready(s_axi_awready),
      .payload(s_axi_awaddr), .transfers(moved[0]), .violations(broken[0]));
  axi_channel #(32, "control W") control_w (.clk, .rst(reset), .valid(s_axi_wvalid), .ready(s_axi_wready),
      .payload(s_axi_wdata), .transfers(moved[1]), .violations(broken[1]));
  axi_channel #(12, "control AR") control_ar (.clk, .rst(reset), .valid(s_axi_arvalid), .ready(s_axi_arready),
      .payload(s_axi_araddr), .transfers(moved[2]), .violations(broken[2]));
  axi_channel #(2, "control B") control_b (.clk, .rst(reset), .valid(s_axi_bvalid), .ready(s_axi_bready),
      .payload(s_axi_bresp), .transfers(moved[3]), .violations(broken[3]));
  axi_channel #(34, "control R") control_r (.clk, .rst(reset), .valid(s_axi_rvalid), .ready(s_axi_rready),
      .payload({s_axi_rdata, s_axi_rresp}), .transfers(moved[4]), .violations(broken[4]));
  assign transfers = moved.sum();
  assign violations = broken.sum();

  logic [DATA_BITS-1:0] memory[];
  longint cycle;
  longint memory_bytes;
  int latency, interval, stalls, journal, options, file, written, reads_given, writes_answered;
  logic [31:0] random;  // 0: the memory is deterministic

  function automatic logic inside_memory(logic [63:0] address);
    return address >= MEMORY_BASE && address < MEMORY_BASE + 64'(memory_bytes);
  endfunction
  function automatic int word_of(logic [63:0] address, int beat);
    return int'((address - MEMORY_BASE) / 64'(BYTES)) + beat;
  endfunction

  function automatic int draw(int below);
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return int'(random >> 1) % below;
  endfunction
  function automatic logic goes();
    return random == 0 || draw(256) >= stalls;
  endfunction
  initial begin
    options = $fopen("options.txt", "r");
    if ($fscanf(options, "%d %d %d %d %d %d", latency, interval, random, stalls, journal, memory_bytes) != 6)
      $fatal(1, "options.txt is missing");
    memory = new[int'(memory_bytes / 64'(BYTES))];
    cycle = 0;
    written = 0;
    reads_given = 0;
    writes_answered = 0;
    faulty = 0;
  end

  task automatic note_write(logic [3:0] id, int word, logic [BYTES-1:0] strobes, logic [DATA_BITS-1:0] content);
    logic [63:0] wide = 64'(strobes);
    if (written == 0) written = $fopen("writes.bin", "wb");
    $fwrite(written, "%u%u%u%u", 32'(id), 32'(word * BYTES), wide[31:0], wide[63:32]);
    for (int part = 0; part < BYTES / 4; part++) $fwrite(written, "%u", content[32*part+:32]);
  endtask

  task automatic note_fault(logic [3:0] id, logic [63:0] address);
    faulty <= 1;
    faulty_stream <= id;
    faulty_address <= address - MEMORY_BASE;
  endtask

  for (genvar p = 0; p < PORTS; p++) begin : port
    burst_t reads[$], writes[$], answers[$];
    longint next_read = 0, next_write = 0;
    int write_beat = 0;

    // Which of the bursts is served next: the oldest, or at random the oldest of any identifier; -1: none is ready.
    function automatic int choose(ref burst_t bursts[$]);
      logic [15:0] seen = 0;
      int ready[$];
      for (int number = 0; number < bursts.size(); number++) begin
        if (!seen[bursts[number].id] && cycle >= bursts[number].ready) ready.push_back(number);
        seen[bursts[number].id] = 1;
        if (random == 0) break;
      end
      if (ready.size() == 0) return -1;
      return random == 0 ? ready[0] : ready[draw(ready.size())];
    endfunction

    task automatic give_read();
      int chosen = choose(reads);
      rvalid[p] <= 0;
      if (chosen >= 0 && cycle >= next_read && goes()) begin
        burst_t one = reads[chosen];
        logic known = inside_memory(one.address);
        rvalid[p] <= 1;
        rid[p] <= one.id;
        rlast[p] <= one.beat == 9'(one.length);
        rresp[p] <= reads_given == faulty_read ? fault : known ? 0 : 3;
        rdata[p] <= known ? memory[word_of(one.address, int'(one.beat))] : 0;
        next_read = cycle + 64'(interval);
        if (reads_given == faulty_read) note_fault(one.id, one.address);
        reads_given = reads_given + 1;
        if (one.beat == 9'(one.length)) reads.delete(chosen);
        else reads[chosen].beat = one.beat + 1;
      end
    endtask

    task automatic take_write();
      burst_t one = writes[0];
      if (journal != 0 && inside_memory(one.address))
        note_write(one.id, word_of(one.address, write_beat), wstrb[p], wdata[p]);
      for (int lane = 0; lane < BYTES; lane++)
        if (wstrb[p][lane] && inside_memory(one.address))
          memory[word_of(one.address, write_beat)][8*lane+:8] = wdata[p][8*lane+:8];
      write_beat = write_beat + 1;
      if (wlast[p]) begin
        answers.push_back('{one.id, one.address, 0, cycle + 64'(latency), 0});
        void'(writes.pop_front());
        write_beat = 0;
      end
      next_write = cycle + 64'(interval);
    endtask

    task automatic give_answer();
      int chosen = choose(answers);
      bvalid[p] <= 0;
      if (chosen >= 0 && goes()) begin
        burst_t one = answers[chosen];
        bvalid[p] <= 1;
        bid[p] <= one.id;
        bresp[p] <= writes_answered == faulty_write ? fault : inside_memory(one.address) ? 0 : 3;
        if (writes_answered == faulty_write) note_fault(one.id, one.address);
        writes_answered = writes_answered + 1;
        answers.delete(chosen);
      end
    endtask

    always @(posedge clk) begin
      arready[p] <= reads.size() < 64 && goes();
      awready[p] <= writes.size() < 64 && goes();
      if (reset) begin
        rvalid[p] <= 0;
        bvalid[p] <= 0;
        wready[p] <= 0;
        reads.delete();
        writes.delete();
        answers.delete();
      end else begin
        if (arvalid[p] && arready[p]) reads.push_back('{arid[p], araddr[p], arlen[p], cycle + 64'(latency), 0});
        if (awvalid[p] && awready[p]) writes.push_back('{awid[p], awaddr[p], awlen[p], 0, 0});
        if (rready[p] || !rvalid[p]) give_read();
        if (wvalid[p] && wready[p]) take_write();
        wready[p] <= writes.size() != 0 && cycle + 1 >= next_write && goes();
        if (bready[p] || !bvalid[p]) give_answer();
      end
    end
  end

  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (load) begin
      file = $fopen("load.bin", "rb");
      for (int word = part_first / BYTES; word < (part_first + part_bytes) / BYTES; word++)
        for (int part = 0; part < BYTES / 4; part++) begin
          logic [31:0] bits;
          if ($fread(bits, file) == 4) memory[word][32*part+:32] = {bits[7:0], bits[15:8], bits[23:16], bits[31:24]};
        end
      $fclose(file);
    end
    if (dump) begin
      file = $fopen("dump.bin", "wb");
      for (int word = part_first / BYTES; word < (part_first + part_bytes) / BYTES; word++)
        for (int part = 0; part < BYTES / 4; part++) $fwrite(file, "%u", memory[word][32*part+:32]);
      $fclose(file);
      if (written != 0) $fclose(written);
      written = 0;
      reads_given = 0;
      writes_answered = 0;
      faulty <= 0;
    end
  end
endmodule

// Nothing but ports: cocotb may write any signal of the top module, and Verilator evaluates twice a cycle all that depends on one.
// Were the accelerator's ports, or its reset, among them, that would take a fifth of a simulation's time.
module sat_bench
  import sat_config::*;
(
  `SAT_BENCH_PORTS
);
  sat_with_memory body (.*);
endmodule
