"""A memory behind an AXI4 master in the Amaranth simulator, slow and whimsical, that checks what it is asked."""

from random import Random


class AxiMemory:
    """Serves a component's ``m_axi_`` signals; run `serve` as a background testbench.

    Attributes
    ----------
    content : bytearray
        The memory.
    bursts : list of (str, int, int)
        Channel, address and beats of each burst.
    """

    def __init__(self, dut, content, *, seed=0, latency=5, stall=0.3, base=0, bad=range(0)):
        self.dut, self.content, self.random = dut, content, Random(seed)
        self.latency, self.stall, self.base, self.bad = latency, stall, base, bad
        self.bursts = []
        self.size = len(dut.m_axi_wstrb)

    def check(self, channel, address, beats):
        assert address % self.size == 0
        assert address // 4096 == (address + beats * self.size - 1) // 4096, "a burst stays in its page"
        self.bursts.append((channel, address, beats))

    async def serve(self, ctx):
        dut, reads, writes, answers, beats, cycle = self.dut, [], [], [], [], 0
        names = ("ar", "aw")
        while True:
            go = {name: self.random.random() >= self.stall for name in ("ar", "aw", "w", "r", "b")}
            for name in ("ar", "aw", "w"):
                ctx.set(getattr(dut, f"m_axi_{name}ready"), go[name])
            ready = [(number, item) for number, item in enumerate(reads) if item["at"] <= cycle]
            first = {}
            for number, item in ready:  # of each ID the oldest burst; IDs in any order
                first.setdefault(item["id"], (number, item))
            pick = self.random.choice(list(first.values())) if first and go["r"] else None
            if pick:
                item = pick[1]
                address = item["address"] + item["done"] * self.size
                at = address - self.base
                ctx.set(dut.m_axi_rdata, int.from_bytes(self.content[at : at + self.size], "little"))
                ctx.set(dut.m_axi_rid, item["id"])
                ctx.set(dut.m_axi_rlast, item["done"] + 1 == item["beats"])
                ctx.set(dut.m_axi_rresp, 2 if at in self.bad else 0)
            ctx.set(dut.m_axi_rvalid, bool(pick))
            answer = answers[0] if answers and go["b"] and answers[0][0] <= cycle else None
            ctx.set(dut.m_axi_bvalid, bool(answer))
            if answer:
                ctx.set(dut.m_axi_bid, answer[1])
                ctx.set(dut.m_axi_bresp, answer[2])
            signals = [getattr(dut, f"m_axi_{channel}{name}") for channel in names for name in ("valid", "id", "addr", "len")]
            write = [dut.m_axi_wvalid, dut.m_axi_wdata, dut.m_axi_wstrb, dut.m_axi_wlast, dut.m_axi_rready, dut.m_axi_bready]
            values = (await ctx.tick().sample(*signals, *write))[2:]
            cycle += 1
            assert values[12] and values[13]
            for place, channel in enumerate(names):
                valid, number, address, length = values[4 * place : 4 * place + 4]
                if valid and go[channel]:
                    self.check(channel, address, length + 1)
                    item = {"id": number, "address": address, "beats": length + 1, "done": 0, "at": cycle + self.latency}
                    (reads if channel == "ar" else writes).append(item)
            if values[8] and go["w"]:
                beats.append(values[9:12])
            while beats and writes:
                item, (data, strobes, last) = writes[0], beats.pop(0)
                at = item["address"] - self.base + item["done"] * self.size
                for byte in range(self.size):
                    if strobes >> byte & 1:
                        self.content[at + byte] = data >> 8 * byte & 255
                item["done"] += 1
                assert last == (item["done"] == item["beats"])
                if last:
                    bad = 2 if item["address"] - self.base in self.bad else 0
                    answers.append((cycle + self.latency, item["id"], bad))
                    writes.pop(0)
            if pick:
                pick[1]["done"] += 1
                if pick[1]["done"] == pick[1]["beats"]:
                    reads.pop(pick[0])
            if answer:
                answers.pop(0)
