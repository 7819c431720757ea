// What AMBA AXI (IHI 0022) asks of the signals between a manager and a subordinate, checked on every clock edge.
//
//   axi_channel    one channel: valid stays, and so does what it offers, until ready; nothing is offered in reset
//   axi_checker    all five channels of an AXI4 port: bursts, identifiers, last beats and answers belong together
//
// Each counts transfers and violations; a violation is printed with its cycle and rule.

module axi_channel #(
    parameter int WIDTH = 1,
    parameter string NAME = ""
) (
    input logic clk,
    input logic rst,
    input logic valid,
    input logic ready,
    input logic [WIDTH-1:0] payload,
    output longint transfers,
    output longint violations
);
  logic waiting = 0;
  logic [WIDTH-1:0] offered;

  initial {transfers, violations} = 0;

  always @(posedge clk) begin
    waiting <= valid && !ready && !rst;
    offered <= payload;
    if (!rst && valid && ready) transfers <= transfers + 1;
    if (!rst && waiting && (!valid || payload != offered)) begin
      $display("%0t AXI %s: what was offered was taken back or changed before it was ready", $time, NAME);
      violations <= violations + 1;
    end
  end
endmodule

module axi_checker #(
    parameter int DATA_BITS = 64,
    parameter int ID_BITS = 4
) (
    input logic clk,
    input logic rst,
    input logic [ID_BITS-1:0] arid, awid, rid, bid,
    input logic [63:0] araddr, awaddr,
    input logic [7:0] arlen, awlen,
    input logic [2:0] arsize, awsize,
    input logic [1:0] arburst, awburst, rresp, bresp,
    input logic arvalid, arready, awvalid, awready, wvalid, wready, wlast, rvalid, rready, rlast, bvalid, bready,
    input logic [DATA_BITS-1:0] wdata, rdata,
    input logic [DATA_BITS/8-1:0] wstrb,
    output longint transfers,
    output longint violations
);
  localparam int SIZE = $clog2(DATA_BITS / 8);

  longint taken[5], broken[5], wrong;
  axi_channel #(ID_BITS + 77, "AR") ar (.clk, .rst, .valid(arvalid), .ready(arready),
      .payload({arid, araddr, arlen, arsize, arburst}), .transfers(taken[0]), .violations(broken[0]));
  axi_channel #(ID_BITS + 77, "AW") aw (.clk, .rst, .valid(awvalid), .ready(awready),
      .payload({awid, awaddr, awlen, awsize, awburst}), .transfers(taken[1]), .violations(broken[1]));
  axi_channel #(DATA_BITS * 9 / 8 + 1, "W") w (.clk, .rst, .valid(wvalid), .ready(wready),
      .payload({wlast, wstrb, wdata}), .transfers(taken[2]), .violations(broken[2]));
  axi_channel #(ID_BITS + DATA_BITS + 3, "R") r (.clk, .rst, .valid(rvalid), .ready(rready),
      .payload({rid, rdata, rresp, rlast}), .transfers(taken[3]), .violations(broken[3]));
  axi_channel #(ID_BITS + 2, "B") b (.clk, .rst, .valid(bvalid), .ready(bready),
      .payload({bid, bresp}), .transfers(taken[4]), .violations(broken[4]));
  assign transfers = taken.sum();
  assign violations = wrong + broken.sum();

  // Beats that are to come: of reads by identifier, of writes in the order of their addresses; answers by identifier.
  logic [8:0] reads[2**ID_BITS][$];
  logic [8:0] writes[$];
  logic [ID_BITS-1:0] write_ids[$];
  int answers[2**ID_BITS];

  function automatic void check(logic good, string rule);
    if (!good) begin
      $display("%0t AXI: %s", $time, rule);
      wrong = wrong + 1;
    end
  endfunction

  function automatic void burst(string name, logic [63:0] address, logic [7:0] length, logic [2:0] size, logic [1:0] kind);
    check(kind == 1, {name, "BURST: not INCR"});
    check(size == 3'(SIZE), {name, "SIZE: narrow beats"});
    check(64'(address[11:0]) + ((64'(length) + 1) << SIZE) <= 4096, {name, "ADDR: a burst crosses 4 KiB"});
    check(address[SIZE-1:0] == 0, {name, "ADDR: not a multiple of a beat"});
  endfunction

  initial begin
    wrong = 0;
    for (int id = 0; id < 2 ** ID_BITS; id++) answers[id] = 0;
  end

  always @(posedge clk)
    if (rst) begin
      check(!arvalid && !awvalid && !wvalid, "something is offered in reset");
      for (int id = 0; id < 2 ** ID_BITS; id++) begin
        reads[id].delete();
        answers[id] = 0;
      end
      writes.delete();
      write_ids.delete();
    end else begin
      if (rvalid && rready) begin
        check(reads[rid].size() != 0, "RID: a beat that nobody asked for");
        if (reads[rid].size() != 0) begin
          check(rlast == (reads[rid][0] == 1), "RLAST: not at the last beat");
          reads[rid][0] = reads[rid][0] - 1;
          if (reads[rid][0] == 0) void'(reads[rid].pop_front());
        end
      end
      if (bvalid && bready) begin
        check(answers[bid] != 0, "BID: an answer to no write");
        answers[bid] = answers[bid] - 1;
      end
      if (arvalid && arready) begin
        burst("AR", araddr, arlen, arsize, arburst);
        reads[arid].push_back(9'(arlen) + 1);
      end
      if (awvalid && awready) begin
        burst("AW", awaddr, awlen, awsize, awburst);
        writes.push_back(9'(awlen) + 1);
        write_ids.push_back(awid);
      end
      if (wvalid && wready) begin
        check(writes.size() != 0, "W: a beat before its address");
        if (writes.size() != 0) begin
          check(wlast == (writes[0] == 1), "WLAST: not at the last beat");
          writes[0] = writes[0] - 1;
          if (writes[0] == 0) begin
            void'(writes.pop_front());
            answers[write_ids[0]] = answers[write_ids[0]] + 1;
            void'(write_ids.pop_front());
          end
        end
      end
    end
endmodule
