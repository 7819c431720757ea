"""The sparse online reduction engine: the N largest of every M, while the weights stream past."""

from itertools import combinations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import SELECT_LATENCY_CYCLES, AcceleratorConfig
from hw.errors import InputError
from hw.parts.layouts import weight_layout
from hw.parts.modules import place
from hw.ratio import MAX_KEPT


def elements_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word of dense elements, one for each lane, and the ratio N:M of the groups that it belongs to.

    Members
    -------
    values : storage format × sore_lanes
        The next element of each lane's group.
    n, m : bits for max_group
        The ratio, the same in all words of a group: 1 <= n <= min(m, max_kept), m <= max_group.
    """
    ratio_bits = config.max_group.bit_length()
    values = data.ArrayLayout(config.storage_format.width, config.sore_lanes)
    return data.StructLayout({"values": values, "n": ratio_bits, "m": ratio_bits})


def packed_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """A word of kept elements with their indices, one for each lane; an element is what the array takes from the west."""
    return data.ArrayLayout(weight_layout(config), config.sore_lanes)


def kept_slots(config: AcceleratorConfig, max_kept: int | None = None) -> int:
    """Slots of a lane: `max_kept` if the configuration allows it, or by default enough for the supported ratios."""
    if max_kept is None:
        return min(MAX_KEPT, config.max_group)
    if not 1 <= max_kept <= config.max_group:
        raise InputError(f"max_kept must be in 1..max_group, not {max_kept} (max_group = {config.max_group})")
    return max_kept


class SoreLane(wiring.Component):
    """Keeps the largest elements of a group, in the order of their arrival.

    The slots hold the best so far, oldest first. A new element meets all of them at once; where it beats the least of them,
    that one leaves, the younger ones move up and the new one goes last. What is kept is thus always in ascending index and
    needs no sorting. Which of two slots holds less was found when the younger of the two came, and is remembered: one bit for
    each pair. The comparisons of a cycle are therefore those with the new element, one for each slot.

    ::

        value, index ─┬─► slot K-1 ─► ... ─► slot 1 ─► slot 0     a slot takes the next younger one's, or holds
                      ▼      │                 │         │
                   compare ◄─┴─────────────────┴─────────┘
                             └──► kept, when the group ends ──► pick ──► o

    Parameters
    ----------
    config : AcceleratorConfig
        Format and group size.
    max_kept : int
        K, the number of slots.

    Members
    -------
    en : In(1)
        `value` is taken.
    last : In(1)
        It ends its group: what is kept of the group moves to the way out, and the slots are empty again.
    value, index : In(storage format), In(index_bits)
        An element and its position in the group.
    active : In(max_kept)
        The slots that take part: for N of M the last N.
    pick : In(range(max_kept))
        Which slot's element of the last group is at `o`.
    o : Out(weight_layout)
        A kept element.
    """

    def __init__(self, config: AcceleratorConfig, max_kept: int) -> None:
        self.config = config
        self.max_kept = max_kept
        super().__init__(
            {
                "en": In(1),
                "last": In(1),
                "value": In(config.storage_format.width),
                "index": In(config.index_bits),
                "active": In(max_kept),
                "pick": In(range(max_kept)),
                "o": Out(weight_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = range(self.max_kept)
        element = Cat(self.value, self.index)
        slots = [Signal(len(element), name=f"slot_{number}", reset_less=True) for number in numbers]
        filled = Signal(self.max_kept)
        # Whether the older of two slots holds less than the younger; of two empty ones the older is the first to go.
        less = {pair: Signal(name=f"less_{pair[0]}_{pair[1]}", init=1) for pair in combinations(numbers, 2)}
        beaten = [~filled[number] | (self._magnitude(slot) < self._magnitude(element)) for number, slot in enumerate(slots)]
        moves = self._moves(m, less, beaten)

        elements = [*slots, element]
        kept = [Mux(moves[number], elements[number + 1], elements[number]) for number in numbers]
        known = less | {(number, self.max_kept): beaten[number] for number in numbers}
        results = [Signal(len(element), name=f"kept_{number}", reset_less=True) for number in numbers]
        with m.If(self.en):
            m.d.sync += [slot.eq(value) for slot, value in zip(slots, kept, strict=True)]
            m.d.sync += filled.eq(Mux(self.last, 0, Mux(moves, Cat(filled[1:], 1), filled)))
            for (older, younger), bit in less.items():
                both, one = known[older + 1, younger + 1], known[older, younger + 1]
                moved = Mux(moves[older], both, Mux(moves[younger], one, bit))
                m.d.sync += bit.eq(self.last | moved)
        with m.If(self.en & self.last):
            m.d.sync += [result.eq(value) for result, value in zip(results, kept, strict=True)]
        m.d.comb += Value.cast(self.o).eq(Array(results)[self.pick])
        return m

    def _magnitude(self, element: Value) -> Value:
        """The bits below the sign: as integers they are in the order of the magnitudes, NaN highest."""
        return element[: self.config.storage_format.width - 1]

    def _moves(self, m: Module, less: dict[tuple[int, int], Signal], beaten: list[Value]) -> Signal:
        """Which slots take the next younger element: the least one, where the new element beats it, and all younger ones."""
        numbers = range(self.max_kept)
        least, moves = Signal(self.max_kept), Signal(self.max_kept)
        for number in numbers:
            than_older = [~self.active[older] | ~less[older, number] for older in numbers[:number]]
            than_younger = [less[number, younger] for younger in numbers[number + 1 :]]
            m.d.comb += least[number].eq(Cat(self.active[number], *than_older, *than_younger).all())
        enters = (least & Cat(beaten)).any()
        for number in numbers:
            m.d.comb += moves[number].eq(enters & least[: number + 1].any())
        return moves


class SORE(wiring.Component):
    """Packs N of every M: a stream of dense elements in, kept values with their indices out, on P lanes in step.

    Every lane works on a group of its own, so that the axis that is grouped is the one that follows in time. The result is
    that of `training.nm.pack`, bit by bit: the N largest magnitudes compared as integers of the bits below the sign (so NaN is
    the largest), of equal ones the lower index, in ascending index, exactly N of each group.

    ::

        i ──┬── lane 0 ──┬──► o          i: 8 words of a group at 2:8      o: 2 words, while the next group streams in
            ├── lane 1 ──┤
            └── lane P-1 ┘

    Parameters
    ----------
    config : AcceleratorConfig
        `sore_lanes`, the storage format and `max_group`.
    max_kept : int, optional
        The largest N, 1..max_group, see `kept_slots`.

    Members
    -------
    i : In(stream of elements_layout)
        M words a group, element k of each lane's group in word k. A short last group is padded by whoever feeds it, with zeros.
        The ratio may change from group to group.
    o : Out(stream of packed_layout)
        N words a group.

    Attributes
    ----------
    latency_cycles : int
        Cycles from taking a group's last word to offering its first packed one.
    interval_cycles : int
        Cycles from one word taken to the next: 1, also between groups.

    Notes
    -----
    A group's packed words must be on their way before the last word of the next is taken; with N <= M and `o` ready that
    never waits. ``i.ready`` depends on ``o.ready`` in the same cycle.
    """

    interval_cycles = 1
    latency_cycles = SELECT_LATENCY_CYCLES

    def __init__(self, config: AcceleratorConfig, max_kept: int | None = None) -> None:
        self.config = config
        self.max_kept = kept_slots(config, max_kept)
        super().__init__(
            {"i": In(stream.Signature(elements_layout(config))), "o": Out(stream.Signature(packed_layout(config)))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, word = self.config, self.i.payload
        index = Signal(config.index_bits)
        left = Signal(range(self.max_kept + 1))  # packed words still to be offered
        take, last, pick = Signal(), Signal(), Signal(range(self.max_kept))
        m.d.comb += [
            last.eq(index + 1 == word.m),
            self.i.ready.eq(~last | (left == 0) | (left == 1) & self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            self.o.valid.eq(left != 0),
            pick.eq(self.max_kept - left),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += left.eq(left - 1)
        with m.If(take):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += left.eq(word.n)

        active = Cat(self.max_kept - slot <= word.n for slot in range(self.max_kept))
        for number in range(config.sore_lanes):
            lane = place(
                m, platform, lambda: SoreLane(config, self.max_kept), module=f"sore_lane_{self.max_kept}", name=f"lane_{number}"
            )
            m.d.comb += [
                *(lane.en.eq(take), lane.last.eq(last), lane.index.eq(index), lane.active.eq(active), lane.pick.eq(pick)),
                lane.value.eq(word.values[number]),
                self.o.payload[number].eq(lane.o),
            ]
        return m
