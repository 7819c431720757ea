// The accelerator with a memory behind its AXI4 master, for whole programs: Python wakes at interrupts only.
//
// The memory is deterministic. A burst of reads is taken in each cycle in which it is offered and fewer than 64 are under way; its
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
// options.txt: latency, interval, seed, stalls. memory.bin is read at the start; each `dump` writes the first `dump_bytes` to
// dump_<n>.bin.
module sat_bench
  import sat_config::*;
(
    input  logic clk,
    input  logic rst,
    input  logic dump,
    input  int   dump_bytes,
    input  int   faulty_read,
    input  int   faulty_write,
    input  logic [1:0] fault,
    output logic faulty,
    output logic [3:0] faulty_stream,
    output logic [63:0] faulty_address,
    output logic interrupted,
    output longint transfers,
    output longint violations,
    input  logic [11:0] s_axi_awaddr, input logic s_axi_awvalid, output logic s_axi_awready,
    input  logic [31:0] s_axi_wdata, input logic s_axi_wvalid, output logic s_axi_wready,
    output logic [1:0] s_axi_bresp, output logic s_axi_bvalid, input logic s_axi_bready,
    input  logic [11:0] s_axi_araddr, input logic s_axi_arvalid, output logic s_axi_arready,
    output logic [31:0] s_axi_rdata, output logic [1:0] s_axi_rresp, output logic s_axi_rvalid, input logic s_axi_rready
);
  localparam int BYTES = DATA_BITS / 8;

  typedef struct packed {
    logic [3:0] id;
    logic [63:0] address;
    logic [7:0] length;
    longint ready;
    logic [8:0] beat;
  } burst_t;

  logic [3:0] arid, awid, rid, bid;
  logic [63:0] araddr, awaddr;
  logic [7:0] arlen, awlen;
  logic arvalid, arready, awvalid, awready, wvalid, wready, wlast, rvalid, rready, rlast, bvalid, bready;
  logic [DATA_BITS-1:0] wdata, rdata;
  logic [BYTES-1:0] wstrb;
  logic [1:0] rresp, bresp, arburst, awburst;
  logic [2:0] arsize, awsize;

  sat dut (
      .clk, .rst, .irq(interrupted),
      .s_axi_awaddr, .s_axi_awprot(3'b0), .s_axi_awvalid, .s_axi_awready,
      .s_axi_wdata, .s_axi_wstrb(4'hf), .s_axi_wvalid, .s_axi_wready,
      .s_axi_bresp, .s_axi_bvalid, .s_axi_bready,
      .s_axi_araddr, .s_axi_arprot(3'b0), .s_axi_arvalid, .s_axi_arready,
      .s_axi_rdata, .s_axi_rresp, .s_axi_rvalid, .s_axi_rready,
      .m_axi_arid(arid), .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(arsize), .m_axi_arburst(arburst), .m_axi_arlock(),
      .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos(), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
      .m_axi_awid(awid), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(awsize), .m_axi_awburst(awburst), .m_axi_awlock(),
      .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(), .m_axi_awvalid(awvalid), .m_axi_awready(awready),
      .m_axi_wdata(wdata), .m_axi_wstrb(wstrb), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
      .m_axi_rid(rid), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
      .m_axi_rready(rready), .m_axi_bid(bid), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready));

  longint moved[6], broken[6];
  axi_checker #(DATA_BITS, 4) m_axi (.*, .transfers(moved[0]), .violations(broken[0]));
  axi_channel #(12, "control AW") control_aw (.clk, .rst, .valid(s_axi_awvalid), .ready(s_axi_awready),
      .payload(s_axi_awaddr), .transfers(moved[1]), .violations(broken[1]));
  axi_channel #(32, "control W") control_w (.clk, .rst, .valid(s_axi_wvalid), .ready(s_axi_wready),
      .payload(s_axi_wdata), .transfers(moved[2]), .violations(broken[2]));
  axi_channel #(12, "control AR") control_ar (.clk, .rst, .valid(s_axi_arvalid), .ready(s_axi_arready),
      .payload(s_axi_araddr), .transfers(moved[3]), .violations(broken[3]));
  axi_channel #(2, "control B") control_b (.clk, .rst, .valid(s_axi_bvalid), .ready(s_axi_bready),
      .payload(s_axi_bresp), .transfers(moved[4]), .violations(broken[4]));
  axi_channel #(34, "control R") control_r (.clk, .rst, .valid(s_axi_rvalid), .ready(s_axi_rready),
      .payload({s_axi_rdata, s_axi_rresp}), .transfers(moved[5]), .violations(broken[5]));
  assign transfers = moved.sum();
  assign violations = broken.sum();

  logic [DATA_BITS-1:0] memory[0:MEMORY_BYTES/BYTES-1];
  burst_t reads[$], writes[$], answers[$];
  longint cycle, next_read, next_write;
  int latency, interval, stalls, options, file, dumps, write_beat, reads_given, writes_answered;
  logic [31:0] random;  // 0: the memory is deterministic

  function automatic logic inside_memory(logic [63:0] address);
    return address >= MEMORY_BASE && address < MEMORY_BASE + 64'(MEMORY_BYTES);
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

  initial begin
    options = $fopen("options.txt", "r");
    if ($fscanf(options, "%d %d %d %d", latency, interval, random, stalls) != 4) $fatal(1, "options.txt is missing");
    file = $fopen("memory.bin", "rb");
    for (int word = 0; word < MEMORY_BYTES / BYTES; word++)
      for (int part = 0; part < BYTES / 4; part++) begin
        logic [31:0] bits;
        if ($fread(bits, file) == 4) memory[word][32*part+:32] = {bits[7:0], bits[15:8], bits[23:16], bits[31:24]};
      end
    $fclose(file);
    cycle = 0;
    next_read = 0;
    next_write = 0;
    dumps = 0;
    write_beat = 0;
    reads_given = 0;
    writes_answered = 0;
    faulty = 0;
  end

  task automatic note_fault(logic [3:0] id, logic [63:0] address);
    faulty <= 1;
    faulty_stream <= id;
    faulty_address <= address - MEMORY_BASE;
  endtask

  task automatic give_read();
    int chosen = choose(reads);
    rvalid <= 0;
    if (chosen >= 0 && cycle >= next_read && goes()) begin
      burst_t one = reads[chosen];
      logic known = inside_memory(one.address);
      rvalid <= 1;
      rid <= one.id;
      rlast <= one.beat == 9'(one.length);
      rresp <= reads_given == faulty_read ? fault : known ? 0 : 3;
      rdata <= known ? memory[word_of(one.address, int'(one.beat))] : 0;
      next_read <= cycle + 64'(interval);
      if (reads_given == faulty_read) note_fault(one.id, one.address);
      reads_given = reads_given + 1;
      if (one.beat == 9'(one.length)) reads.delete(chosen);
      else reads[chosen].beat = one.beat + 1;
    end
  endtask

  task automatic take_write();
    for (int lane = 0; lane < BYTES; lane++)
      if (wstrb[lane] && inside_memory(writes[0].address))
        memory[word_of(writes[0].address, write_beat)][8*lane+:8] <= wdata[8*lane+:8];
    write_beat = write_beat + 1;
    if (wlast) begin
      answers.push_back('{writes[0].id, writes[0].address, 0, cycle + 64'(latency), 0});
      void'(writes.pop_front());
      write_beat = 0;
    end
    next_write = cycle + 64'(interval);
  endtask

  task automatic give_answer();
    int chosen = choose(answers);
    bvalid <= 0;
    if (chosen >= 0 && goes()) begin
      bvalid <= 1;
      bid <= answers[chosen].id;
      bresp <= writes_answered == faulty_write ? fault : inside_memory(answers[chosen].address) ? 0 : 3;
      if (writes_answered == faulty_write) note_fault(answers[chosen].id, answers[chosen].address);
      writes_answered = writes_answered + 1;
      answers.delete(chosen);
    end
  endtask

  always @(posedge clk) begin
    cycle <= cycle + 1;
    arready <= reads.size() < 64 && goes();
    awready <= writes.size() < 64 && goes();
    if (rst) begin
      rvalid <= 0;
      bvalid <= 0;
      wready <= 0;
      reads.delete();
      writes.delete();
      answers.delete();
    end else begin
      if (arvalid && arready) reads.push_back('{arid, araddr, arlen, cycle + 64'(latency), 0});
      if (awvalid && awready) writes.push_back('{awid, awaddr, awlen, 0, 0});
      if (rready || !rvalid) give_read();
      if (wvalid && wready) take_write();
      wready <= writes.size() != 0 && cycle + 1 >= next_write && goes();
      if (bready || !bvalid) give_answer();
    end
    if (dump) begin
      file = $fopen($sformatf("dump_%0d.bin", dumps), "wb");
      for (int word = 0; word < dump_bytes / BYTES; word++)
        for (int part = 0; part < BYTES / 4; part++) $fwrite(file, "%u", memory[word][32*part+:32]);
      $fclose(file);
      dumps = dumps + 1;
      reads_given = 0;
      writes_answered = 0;
      faulty <= 0;
    end
  end
endmodule
