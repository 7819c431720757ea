// A register slice: one word of room, and no path from ready to ready.
module skid #(parameter WIDTH = 16) (
  input  wire             aclk,
  input  wire             aresetn,
  input  wire [WIDTH-1:0] s_axis_tdata,
  input  wire             s_axis_tvalid,
  output wire             s_axis_tready,
  output reg  [WIDTH-1:0] m_axis_tdata,
  output reg              m_axis_tvalid,
  input  wire             m_axis_tready
);
  reg [WIDTH-1:0] held;
  reg             holds;
  assign s_axis_tready = !holds;
  always @(posedge aclk)
    if (!aresetn) begin
      holds <= 1'b0;
      m_axis_tvalid <= 1'b0;
      held <= {WIDTH{1'b0}};
      m_axis_tdata <= {WIDTH{1'b0}};
    end else begin
      if (m_axis_tready || !m_axis_tvalid) begin
        m_axis_tdata <= holds ? held : s_axis_tdata;
        m_axis_tvalid <= holds || s_axis_tvalid;
        holds <= 1'b0;
      end else if (s_axis_tvalid && s_axis_tready) begin
        held <= s_axis_tdata;
        holds <= 1'b1;
      end
    end
endmodule
