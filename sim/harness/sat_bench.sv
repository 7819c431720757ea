// The accelerator with a memory behind its AXI4 master, for whole programs: Python wakes at interrupts only.
//
// The memory is deterministic. A burst of reads is taken in each cycle in which it is offered and fewer than 64 are under way; its
// first beat is on offer at the earliest `latency` + 1 cycles later, and beats are at least `interval` cycles apart, bursts in
// the order in which they were taken. Beats to be written are taken `interval` cycles apart at the soonest, in a cycle in which
// their address has been taken before; the answer comes `latency` + 1 cycles after the last beat. Bytes beyond the memory
// are answered with DECERR. options.txt: latency, interval. memory.bin is read at the start; each `dump` writes dump_<n>.bin.
module sat_bench
  import sat_config::*;
(
    input  logic clk,
    input  logic rst,
    input  logic dump,
    output logic interrupted,
    input  logic [11:0] s_axi_awaddr, input logic s_axi_awvalid, output logic s_axi_awready,
    input  logic [31:0] s_axi_wdata, input logic s_axi_wvalid, output logic s_axi_wready,
    output logic s_axi_bvalid, input logic s_axi_bready,
    input  logic [11:0] s_axi_araddr, input logic s_axi_arvalid, output logic s_axi_arready,
    output logic [31:0] s_axi_rdata, output logic s_axi_rvalid, input logic s_axi_rready
);
  localparam int BYTES = DATA_BITS / 8;

  typedef struct packed {
    logic [3:0] id;
    logic [63:0] address;
    logic [7:0] length;
    longint ready;
  } burst_t;

  logic [3:0] arid, awid, rid, bid;
  logic [63:0] araddr, awaddr;
  logic [7:0] arlen, awlen;
  logic arvalid, arready, awvalid, awready, wvalid, wready, wlast, rvalid, rready, rlast, bvalid, bready;
  logic [DATA_BITS-1:0] wdata, rdata;
  logic [BYTES-1:0] wstrb;
  logic [1:0] rresp, bresp;

  sat dut (
      .clk, .rst, .irq(interrupted),
      .s_axi_awaddr, .s_axi_awprot(3'b0), .s_axi_awvalid, .s_axi_awready,
      .s_axi_wdata, .s_axi_wstrb(4'hf), .s_axi_wvalid, .s_axi_wready,
      .s_axi_bresp(), .s_axi_bvalid, .s_axi_bready,
      .s_axi_araddr, .s_axi_arprot(3'b0), .s_axi_arvalid, .s_axi_arready,
      .s_axi_rdata, .s_axi_rresp(), .s_axi_rvalid, .s_axi_rready,
      .m_axi_arid(arid), .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(), .m_axi_arburst(), .m_axi_arlock(),
      .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos(), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
      .m_axi_awid(awid), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(), .m_axi_awburst(), .m_axi_awlock(),
      .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(), .m_axi_awvalid(awvalid), .m_axi_awready(awready),
      .m_axi_wdata(wdata), .m_axi_wstrb(wstrb), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
      .m_axi_rid(rid), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
      .m_axi_rready(rready), .m_axi_bid(bid), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready));

  logic [DATA_BITS-1:0] memory[0:MEMORY_BYTES/BYTES-1];
  burst_t reads[$], writes[$], answers[$];
  longint cycle, next_read, next_write;
  int latency, interval, options, file, dumps, read_beat, write_beat;

  function automatic logic inside_memory(logic [63:0] address);
    return address >= MEMORY_BASE && address < MEMORY_BASE + 64'(MEMORY_BYTES);
  endfunction
  function automatic int word_of(logic [63:0] address, int beat);
    return int'((address - MEMORY_BASE) / 64'(BYTES)) + beat;
  endfunction

  initial begin
    options = $fopen("options.txt", "r");
    if ($fscanf(options, "%d %d", latency, interval) != 2) $fatal(1, "options.txt is missing");
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
    read_beat = 0;
    write_beat = 0;
  end

  always @(posedge clk) begin
    cycle <= cycle + 1;
    arready <= reads.size() < 64;
    awready <= writes.size() < 64;
    if (rst) begin
      rvalid <= 0;
      bvalid <= 0;
      wready <= 0;
      reads.delete();
      writes.delete();
      answers.delete();
    end else begin
      if (arvalid && arready) reads.push_back('{arid, araddr, arlen, cycle + 64'(latency)});
      if (awvalid && awready) writes.push_back('{awid, awaddr, awlen, 0});
      if (rready) begin
        rvalid <= 0;
        if (reads.size() != 0 && cycle >= reads[0].ready && cycle >= next_read) begin
          rvalid <= 1;
          rid <= reads[0].id;
          rlast <= read_beat == int'(reads[0].length);
          rresp <= inside_memory(reads[0].address) ? 0 : 3;
          rdata <= inside_memory(reads[0].address) ? memory[word_of(reads[0].address, read_beat)] : 0;
          next_read <= cycle + 64'(interval);
          read_beat = read_beat + 1;
          if (read_beat > int'(reads[0].length)) begin
            read_beat = 0;
            void'(reads.pop_front());
          end
        end
      end
      if (wvalid && wready) begin
        for (int lane = 0; lane < BYTES; lane++)
          if (wstrb[lane] && inside_memory(writes[0].address))
            memory[word_of(writes[0].address, write_beat)][8*lane+:8] <= wdata[8*lane+:8];
        write_beat = write_beat + 1;
        if (wlast) begin
          answers.push_back('{writes[0].id, writes[0].address, 0, cycle + 64'(latency)});
          void'(writes.pop_front());
          write_beat = 0;
        end
        next_write = cycle + 64'(interval);
      end
      wready <= writes.size() != 0 && cycle + 1 >= next_write;
      if (bready) begin
        bvalid <= 0;
        if (answers.size() != 0 && cycle >= answers[0].ready) begin
          bvalid <= 1;
          bid <= answers[0].id;
          bresp <= inside_memory(answers[0].address) ? 0 : 3;
          void'(answers.pop_front());
        end
      end
    end
    if (dump) begin
      file = $fopen($sformatf("dump_%0d.bin", dumps), "wb");
      for (int word = 0; word < MEMORY_BYTES / BYTES; word++)
        for (int part = 0; part < BYTES / 4; part++) $fwrite(file, "%u", memory[word][32*part+:32]);
      $fclose(file);
      dumps = dumps + 1;
    end
  end
endmodule
