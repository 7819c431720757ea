"""The cocotb tests of `test_axi_checker`: a port that keeps AXI's rules, and for each rule one that does not."""

import os

import cocotb
from cocotb.triggers import FallingEdge

from sim.kit import reset

SIGNALS = """arvalid arready awvalid awready wvalid wready wlast rvalid rready rlast bvalid bready
             arid awid rid bid rresp bresp wdata rdata wstrb arlen awlen"""
QUIET = dict.fromkeys(SIGNALS.split(), 0)
QUIET |= {"araddr": 0x1000, "awaddr": 0x2000, "arsize": 3, "awsize": 3, "arburst": 1, "awburst": 1}
READ = {"arvalid": 1, "arready": 1, "arid": 2, "arlen": 1}
WRITE = {"awvalid": 1, "awready": 1, "awid": 3, "awlen": 1}
BEAT = {"wvalid": 1, "wready": 1}
DATA = {"rvalid": 1, "rready": 1, "rid": 2}
ANSWER = {"bvalid": 1, "bready": 1, "bid": 3}

GOOD = [READ, DATA, DATA | {"rlast": 1}, WRITE, BEAT, BEAT | {"wlast": 1}, ANSWER]
CASES = {
    "good": GOOD,
    "waits": [READ | {"arready": 0}, READ, *GOOD[1:]],
    "taken back": [READ | {"arready": 0}, {}],
    "changed": [READ | {"arready": 0}, READ | {"araddr": 0x1008}],
    "crosses": [READ | {"araddr": 0x1FF8}],
    "unaligned": [READ | {"araddr": 0x1004}],
    "narrow": [WRITE | {"awsize": 2}],
    "not INCR": [WRITE | {"awburst": 0}],
    "unasked": [DATA],
    "other id": [READ, DATA | {"rid": 1}],
    "early RLAST": [READ, DATA | {"rlast": 1}],
    "no RLAST": [READ, DATA, DATA],
    "early beat": [BEAT],
    "early WLAST": [WRITE, BEAT | {"wlast": 1}],
    "no WLAST": [WRITE, BEAT, BEAT],
    "early answer": [WRITE, BEAT, ANSWER],
    "other answer": [*GOOD[:-1], ANSWER | {"bid": 1}],
    "answered twice": [*GOOD, ANSWER],
}
KEPT = ("good", "waits")


@cocotb.test
async def rules(dut):
    for name, value in QUIET.items():
        getattr(dut, name).value = value
    await reset(dut)
    steps = CASES[os.environ["CASE"]]
    for step in steps:
        for name, value in (QUIET | step).items():
            getattr(dut, name).value = value
        await FallingEdge(dut.clk)
    for name, value in QUIET.items():
        getattr(dut, name).value = value
    await FallingEdge(dut.clk)
    kept = os.environ["CASE"] in KEPT
    assert bool(int(dut.violations.value)) == (not kept)
    if kept:
        assert int(dut.transfers.value) == len(GOOD)
