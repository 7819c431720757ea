// The bare loop: the bench of the whole accelerator, clocked by C++ alone. Arguments: how many times, and a script. A line of that is
// "load FIRST BYTES", the memory from load.bin; "OFFSET VALUE", a register; or "run", up to the interrupt. It prints the cycles of the runs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "Vtop.h"
#include "verilated.h"

static Vtop* top;
static uint64_t cycles;

static void tick() {
  top->clk = 0;
  top->eval();
  top->clk = 1;
  top->eval();
  ++cycles;
}

static void write(uint32_t offset, uint32_t value) {
  top->s_axi_awaddr = offset;
  top->s_axi_wdata = value;
  top->s_axi_awvalid = top->s_axi_wvalid = 1;
  tick();
  top->s_axi_awvalid = top->s_axi_wvalid = 0;
  while (!top->s_axi_bvalid) tick();
  tick();
}

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  top = new Vtop;
  top->s_axi_bready = top->s_axi_rready = 1;
  top->faulty_read = top->faulty_write = -1;
  top->rst = 1;
  for (int count = 0; count < 4; ++count) tick();
  top->rst = 0;
  tick();  // a register is between, see sat_bench.sv
  uint64_t running = 0;
  for (int time = 0; time < std::atoi(argv[1]); ++time) {
    std::ifstream script(argv[2]);
    std::string what;
    while (script >> what) {
      if (what == "load") {
        script >> top->part_first >> top->part_bytes;
        top->load = 1;
        tick();
        top->load = 0;
      } else if (what == "run") {
        const uint64_t before = cycles;
        while (!top->interrupted) tick();
        running += cycles - before;
      } else {
        uint32_t value;
        script >> value;
        write(std::stoul(what), value);
      }
    }
  }
  std::printf("%llu\n", (unsigned long long)running);
  return 0;
}
