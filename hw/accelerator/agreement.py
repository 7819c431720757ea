"""Whether commands agree with those before them, as `hw.isa.agreement` says."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.isa.agreement import OPERANDS
from hw.isa.checks import word_lanes
from hw.isa.commands import Counter, Load, Opcode, Pass, Product, Source
from hw.isa.operands import GRID_BITS, MOST_TAPS, is_skewed, loaded_boundaries
from hw.isa.reductions import PARTIAL_SUMS
from hw.parts.layouts import command_layout


def space_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Lines or positions of a load: a tile is at most all of them."""
    return data.StructLayout({"counter": 2, "size": config.count_bits, "tile": config.count_bits})


PLACE_BITS = 16
"""Width of words of a bank, and of shares."""

GROUP_BITS = 6


def loaded_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What a product wants to know of a load."""
    return data.StructLayout(
        {
            **{name: config.count_bits for name in ("outer", "middle", "inner")},
            "lines": space_layout(config),
            "positions": space_layout(config),
            "group": GROUP_BITS,
            "spread": PLACE_BITS,
            "beside": 1,
            **{name: PLACE_BITS for name in ("base", "shares", "share_words", "line_words", "word_step")},
        }
    )


def sums_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What a pass wants to know of a product: what of it no pass has taken."""
    return data.StructLayout(
        {
            **dict.fromkeys(("outer", "middle"), config.count_bits),
            "slot_rows": 8,
            **dict.fromkeys(("rows", "columns"), space_layout(config)),
        }
    )


REGION = data.StructLayout({"first": PLACE_BITS, "end": 2 * PLACE_BITS})
"""Words of a bank."""


class Agreement(wiring.Component):
    """Looks at commands as they are handed to their units.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.

    Members
    -------
    opcode, unit, body : In
        A command, which stays for two cycles after it was handed on.
    look, goes : In(1)
        It is whole, and not skipped; it is handed on in this cycle.
    synchronises, forget : In(1)
        SYNC or HALT has come; it is over, or a program begins.
    wrong : Out(1)
        For a cycle: the command of two or three cycles before does not agree with those before it.
    watched : Out(1)
        A pass may note an overflow at any time, until the next synchronisation.
    """

    def __init__(self, config: AcceleratorConfig, body_bits: int) -> None:
        self.config = config
        flags = {name: In(1) for name in ("look", "goes", "synchronises", "forget")}
        members = {"opcode": In(8), "unit": In(8), "body": In(body_bits), **flags, "wrong": Out(1), "watched": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        load, product, step = (
            data.View(command_layout(kind), self.body[: command_layout(kind).size]) for kind in (Load, Product, Pass)
        )
        loaded = {source: Signal(loaded_layout(self.config), name=f"loaded_{source.name.lower()}") for source in OPERANDS}
        waiting = {source: Signal(name=f"waits_{source.name.lower()}") for source in loaded}
        sums, gives = Signal(sums_layout(self.config)), Signal()
        loads = {source: (self.opcode == Opcode.LOAD) & (self.unit == source) for source in loaded}
        is_product = self.opcode == Opcode.PRODUCT
        takes = (self.opcode == Opcode.PASS) & step.options.from_sums
        reduces = (self.opcode == Opcode.PASS) & (step.groups != 0)
        self._follow(m, load, product, step, loads, is_product, takes, loaded, waiting, sums, gives)
        goes_on, torn = self._reductions(m, step, reduces)
        with m.If(self.goes & (self.opcode == Opcode.PASS) & step.options.note_overflow):
            m.d.sync += self.watched.eq(1)

        order = Cat(
            *(loads[source] & waiting[source] for source in loaded),
            is_product & (~Cat(waiting.values()).all() | gives),
            takes & ~gives,
            reduces & torn,
        ).any()
        looks = {
            "walk": (self.opcode == Opcode.LOAD) | (self.opcode == Opcode.STORE),
            "load": Cat(loads.values()).any(),
            "product": is_product,
            "sums": takes,
            "terms": reduces,
        }
        found = {name: Signal(name=f"looks_{name}") for name in looks}
        disordered, late, taken = Signal(), Signal(), Signal()
        m.d.sync += [found[name].eq(self.look & what) for name, what in looks.items()]
        m.d.sync += disordered.eq(self.look & order | self.synchronises & Cat(*waiting.values(), gives, goes_on).any())
        m.d.sync += [late.eq(found["product"]), taken.eq(self.goes & is_product)]
        checks, allowed = _Checks(m, self.config, product, loaded), word_lanes(self.config)
        m.d.sync += self.wrong.eq(
            disordered
            | found["walk"] & ~found["load"] & ~Cat(load.walk.boundary == lanes for lanes in allowed).any()
            | found["load"] & ~checks.load(load, self.unit)
            | found["terms"] & ~checks.terms(step)
            | found["product"] & ~(checks.product() & ~self._overlaps(m, product, loaded, taken))
            | found["sums"] & ~_fits(self.config, m, step, sums)
            | late & ~checks.ring()
            | self._torn(m, product, loaded[Source.ACTIVATIONS].lines.size, late & _cuts(product))
        )
        return m

    def _follow(
        self,
        m: Module,
        load: data.View,
        product: data.View,
        step: data.View,
        loads: dict[Source, Value],
        is_product: Value,
        takes: Value,
        loaded: dict[Source, Any],
        waiting: dict[Source, Signal],
        sums: data.View,
        gives: Signal,
    ) -> None:
        """Remember the command that is handed on."""
        for source, is_load in loads.items():
            with m.If(self.goes & is_load):
                m.d.sync += [waiting[source].eq(1), loaded[source].eq(_loaded(self.config, load))]
        with m.If(self.goes & is_product):
            given = {"outer": product.outer, "middle": product.middle, "slot_rows": product.slot_rows}
            rows, columns = (loaded[source].lines for source in loaded)
            m.d.sync += [sums[name].eq(value) for name, value in given.items()]
            m.d.sync += [sums.rows.eq(rows), sums.columns.eq(columns), gives.eq(1)]
            m.d.sync += [flag.eq(0) for flag in waiting.values()]
        with m.If(self.goes & takes):
            m.d.sync += [gives.eq(step.outer != sums.outer), sums.outer.eq(sums.outer - step.outer)]
            m.d.sync += sums.columns.size.eq(sums.columns.size - step.columns)
        with m.If(self.forget):
            m.d.sync += [gives.eq(0), self.watched.eq(0), *(flag.eq(0) for flag in waiting.values())]

    def _reductions(self, m: Module, step: data.View, reduces: Value) -> tuple[Value, Value]:
        """Whether a reduction goes on, and whether a pass that reduces would not be its next part."""
        goes_on, groups = Signal(), Signal.like(step.groups)
        with m.If(self.goes & reduces):
            m.d.sync += [goes_on.eq(step.options.beside & (step.results == 0)), groups.eq(step.groups)]
        with m.If(self.forget):
            m.d.sync += goes_on.eq(0)
        few = step.terms < PARTIAL_SUMS
        return goes_on, goes_on & (~step.options.beside | (step.groups != groups) | few)

    def _overlaps(self, m: Module, product: data.View, loaded: dict[Source, Any], takes: Value) -> Value:
        """Whether operands are loaded beside those of the product before, and onto them."""
        known, found = Signal(), list[Value]()
        for source, load in loaded.items():
            region = Signal(REGION, name=f"before_{source.name.lower()}")
            end = load.shares * load.share_words
            if source is Source.ACTIVATIONS:
                end = Mux(_cuts(product), product.tap_words[:PLACE_BITS] * load.word_step, end)
            now = Signal(REGION, name=f"region_{source.name.lower()}")
            m.d.sync += [now.first.eq(load.base), now.end.eq(load.base + end)]
            with m.If(takes):
                m.d.sync += region.eq(now)
            found.append(known & load.beside & (now.first < region.end) & (region.first < now.end))
        with m.If(takes):
            m.d.sync += known.eq(1)
        with m.If(self.forget):
            m.d.sync += known.eq(0)
        return Cat(found).any()

    def _torn(self, m: Module, product: data.View, pixels: Value, starts: Value) -> Value:
        """Long after a product with taps: whether its pixels are no whole images, by a division of a bit a cycle."""
        area, rest, left = Signal(2 * GRID_BITS), Signal(2 * GRID_BITS + 1), Signal(self.config.count_bits)
        count, ends = Signal(range(self.config.count_bits + 1)), Signal()
        shifted = Cat(left[-1], rest)[: len(rest)]
        now = Signal(2 * GRID_BITS)
        m.d.sync += now.eq(product.grid_y[:GRID_BITS] * product.grid_x[:GRID_BITS])
        m.d.sync += ends.eq(count == 1)
        with m.If(starts):
            m.d.sync += [area.eq(now), rest.eq(0), left.eq(pixels), count.eq(self.config.count_bits)]
        with m.Elif(count != 0):
            m.d.sync += [rest.eq(Mux(shifted >= area, shifted - area, shifted)), left.eq(left << 1), count.eq(count - 1)]
        return ends & (rest != 0)


class _Checks:
    """The rules of `hw.isa.agreement`; products of fields are registers, which hold them from the next cycle on."""

    def __init__(self, m: Module, config: AcceleratorConfig, product: Any, loaded: dict[Source, Any]) -> None:  # noqa: ANN401
        self.m, self.config, self.fields = m, config, product
        self.weights, self.activations = loaded[Source.WEIGHTS], loaded[Source.ACTIVATIONS]
        self.cuts, self.stays = _cuts(product), product.vectors != 0
        self.turns = self.weights.positions.counter == Counter.OUTER

    def _times(self, name: str, a: Value, b: Value | int) -> Signal:
        """A product that is known a cycle later."""
        value = a * b
        held = Signal(value.shape(), name=name)
        self.m.d.sync += held.eq(value)
        return held

    def load(self, load: Any, unit: Value) -> Value:  # noqa: ANN401
        """Whether a load's chunks end where they must, and its shares are in the buffer."""
        config, checks = self.config, []
        end = self._times("shares_end", load.shares[:PLACE_BITS], load.share_words[:PLACE_BITS])
        for source, lines, words in (
            (Source.WEIGHTS, config.rows, config.weight_buffer_words),
            (Source.ACTIVATIONS, config.columns, config.activation_buffer_words),
        ):
            joined, spreads = loaded_boundaries(config, lines, 0, config.max_group, 0)[0], load.spread != 0
            along = Mux(~spreads & (load.group == config.max_group), joined, load.group)
            due = Mux(load.across[0], Mux(spreads, 1, lines), along)
            fits = (load.walk.boundary == due) & (load.base[:PLACE_BITS] + end <= words)
            checks.append((unit != source) | fits)
        return Cat(checks).all()

    def terms(self, step: data.View) -> Value:
        """Whether a pass gives its reductions as many words as they take."""
        results = Mux(step.options.beside, step.groups, step.results)
        given = self._times("terms_given", results[: self.config.count_bits], step.terms[: self.config.count_bits])
        across = Cat(Const(0, self.config.vpu_lanes.bit_length() - 1), given)
        return Mux(step.options.across, across, given) == step.words

    def product(self) -> Value:
        """Whether a product's operands are as it takes them, a ring apart."""
        rules = (self._places(), self._blocks(), self._positions(), self._lines(), self._room(), self._held())
        return Cat(rules).all()

    def _places(self) -> list[Value]:
        product, spread, most = self.fields, Mux(self.stays, self.fields.group_rounds, 0), self.config.columns
        spread = Mux(spread > most, most, spread) if most < self.config.max_group else spread
        weights, activations = self.weights, self.activations
        rules = [weights.word_step == 1, weights.group == self.config.max_group, weights.spread == 0]
        rules += [activations.word_step == product.activation_word_step, activations.spread == spread]
        for load, side in ((weights, "weight"), (activations, "activation")):
            rules += [load[name] == product[f"{side}_{name}"] for name in ("base", "shares", "share_words", "line_words")]
        return rules

    def _blocks(self) -> list[Value]:
        product, weights, activations = self.fields, self.weights, self.activations
        held, tiles = product.weights_held[0], self._times("turned_tiles", weights.outer, weights.middle)
        as_tiles = [
            weights.outer == Mux(held, 1, product.outer),
            weights.middle == product.middle,
            weights.inner == product.inner,
        ]
        in_turn = [tiles == product.outer, weights.inner == product.middle, product.inner == 1, ~held]
        return [
            Mux(self.turns, Cat(in_turn).all(), Cat(as_tiles).all()),
            activations.outer == product.outer,
            activations.middle == Mux(product.activations_held[0], 1, product.middle),
            activations.inner == product.inner,
        ]

    def _positions(self) -> list[Value]:
        product, one_part = self.fields, self.fields.inner == 1
        west, north = self.weights.positions, self.activations.positions
        group, rounds = self.activations.group, product.group_rounds[:GROUP_BITS]
        whole, part = (
            self._times(f"{name}_rounds", size, rounds) == self._times(f"{name}_group", kept[: self.config.count_bits], group)
            for name, size, kept in (("size", north.size, product.rounds), ("tile", north.tile, product.part_rounds))
        )
        tap_words, bits = product.tap_words[:PLACE_BITS], MOST_TAPS.bit_length()
        taps = product.taps_y[:bits] * product.taps_x[:bits]
        of_tap = north.size == self._times("tap_positions", tap_words, group)
        of_taps = product.rounds == self._times("taps_rounds", taps * rounds, tap_words)
        cut = of_tap & of_taps & ~product.tap_words[PLACE_BITS:].any()
        of_all = self._times("turned_rounds", product.rounds[: self.config.count_bits], self.weights.outer)
        as_tiles = (west.size == product.rounds) & _moves(west, Counter.INNER, one_part)
        return [
            Mux(self.turns, west.size == of_all, as_tiles),
            west.tile == Mux(one_part, product.rounds, product.part_rounds),
            Mux(self.cuts, cut, whole),
            Mux(one_part, north.tile == north.size, part),
            _moves(north, Counter.INNER, one_part),
        ]

    def _lines(self) -> list[Value]:
        product, rows, columns = self.fields, self.weights.lines, self.activations.lines
        most = self._times("most_rows", product.slot_rows[:8], self.config.rows)
        self.lines = self._times("most_lines", product.slot_columns[:8], self.config.columns)
        full = ~self.cuts | (product.outer == 1) | (columns.tile == self.lines)
        return [
            rows.tile <= most,
            columns.tile <= Mux(self.stays, product.vectors[: self.config.count_bits], self.lines),
            full,
            _moves(rows, Mux(self.turns, Counter.INNER, Counter.MIDDLE), product.middle == 1),
            _moves(columns, Counter.OUTER, product.outer == 1),
        ]

    def _room(self) -> list[Value]:
        product, config, weights, activations = self.fields, self.config, self.weights, self.activations
        part, whole, used = product.part_rounds, product.rounds, product.group_rounds[:GROUP_BITS]
        rounds = Mux(part < whole, part, whole)
        per_word = Mux(self.stays & (used < config.columns), config.columns, used)
        lines = Mux(self.stays, product.vectors[:PLACE_BITS], product.slot_columns[:8])
        west_words = self._times("weight_line_rounds", weights.line_words, config.max_group)
        north_words = self._times("activation_line_rounds", activations.line_words, per_word)
        west_lines = self._times("weight_lines", weights.line_words, product.slot_rows[:8])
        north_lines = self._times("activation_lines", activations.line_words, lines)
        north = (north_words >= rounds) & (activations.word_step == 1) & (north_lines <= activations.share_words)
        return [west_words >= rounds, west_lines <= weights.share_words, self.cuts | north]

    def _held(self) -> list[Value]:
        product = self.fields
        blocks = self._times("held_blocks", product.middle[:PLACE_BITS], product.inner[:PLACE_BITS])
        many = Cat(product.middle[PLACE_BITS:], product.inner[PLACE_BITS:]).any()
        weights = ~product.weights_held[0] | (product.outer == 1) | ~many & (blocks <= product.weight_shares)
        ring = product.ahead[:8] + product.behind[:8] + 1
        due = Mux(self.cuts, Mux(ring < product.outer, ring, product.outer), product.inner)
        free = ~self.cuts & (~product.activations_held[0] | (product.middle == 1))
        return [weights, free | (due <= product.activation_shares)]

    def ring(self) -> Value:
        """Two cycles later: whether the shares of a product with taps are a ring, and its windows within what is there."""
        if not is_skewed(self.config.columns):
            return Const(1)
        product, load, m = self.fields, self.activations, self.m
        of_shares = self._times("ring_words", load.shares, load.share_words)
        ends = load.base + self._times("ring_end", product.tap_words[:PLACE_BITS], load.word_step)
        is_ring = (load.share_words == product.slot_columns) & (load.word_step == of_shares)
        rows = [
            self._times(f"tap_row_{number}", place, product.grid_x[:GRID_BITS]) for number, place in enumerate(self._far("y"))
        ]
        low, high = (Signal(signed(2 * GRID_BITS + 8), name=f"reach_{name}") for name in ("low", "high"))
        columns = [Signal(place.shape(), name=f"tap_column_{number}") for number, place in enumerate(self._far("x"))]
        m.d.sync += [held.eq(place) for held, place in zip(columns, self._far("x"), strict=True)]
        m.d.sync += [low.eq(_least(*rows) + _least(*columns)), high.eq(_most(*rows) + _most(*columns))]
        reaches = [is_ring, ends <= self.config.activation_buffer_words]
        for name, most in (("ahead", high), ("behind", -low)):
            lines = self._times(f"lines_{name}", self.lines, product[name][:8])
            reaches.append((product[name] + 1 >= product.outer) | (lines >= most))
        return ~self.cuts | Cat(reaches).all()

    def _far(self, axis: str) -> tuple[Value, Value]:
        """The first and the last tap's rows, or columns, from a pixel on."""
        width = GRID_BITS + 1
        start, step = (self.fields[f"{name}_{axis}"][:width].as_signed() for name in ("start", "step"))
        others = self.fields[f"taps_{axis}"][: MOST_TAPS.bit_length()] - 1
        return start, start + step * others


def _loaded(config: AcceleratorConfig, load: Any) -> Value:  # noqa: ANN401
    """A load as `loaded_layout`."""
    walk, bits, layout = load.walk, config.count_bits, loaded_layout(config)
    spaces = []
    for name in ("u", "v"):
        size, tile = walk[f"{name}_size"][:bits], walk[f"{name}_tile"][:bits]
        spaces.append(Cat(walk[f"{name}_counter"][:2], size, Mux(tile < size, tile, size)))
    u, v = spaces
    parts: dict[str, Value] = {name: walk[name] for name in ("outer", "middle", "inner")}
    parts |= {"lines": Mux(load.across[0], u, v), "positions": Mux(load.across[0], v, u)}
    parts |= {name: load[name] for name in layout.members if name not in parts}
    return Cat(parts[name][: field.width] for name, field in layout)


def _fits(config: AcceleratorConfig, m: Module, step: Any, sums: Any) -> Value:  # noqa: ANN401
    """A cycle later: whether a pass takes the tiles that are left, or some of them, whose columns are whole tiles."""
    size, tile = sums.columns.size, sums.columns.tile
    fits, some, some_columns = Signal(), Signal(), Signal(2 * config.count_bits)
    rules = [step[name] == sums[name] for name in ("middle", "slot_rows")]
    rules += [step.rows == sums.rows.size, _least(step.row_tile, step.rows) == sums.rows.tile]
    rules += [step.outer <= sums.outer, (step.outer != sums.outer) | (step.columns == size)]
    rules.append(_least(step.column_tile, step.columns) == _least(tile, step.columns))
    m.d.sync += [fits.eq(Cat(rules).all()), some.eq(step.outer != sums.outer)]
    m.d.sync += some_columns.eq(step.outer[: config.count_bits] * tile)
    return fits & (~some | (some_columns == step.columns))


def _cuts(product: Any) -> Value:  # noqa: ANN401
    """Whether a product has taps."""
    return (product.taps_y != 1) | (product.taps_x != 1)


def _moves(space: Any, counter: Value | Counter, alone: Value) -> Value:  # noqa: ANN401
    """See `hw.isa.agreement.Space.moves`."""
    return (space.counter == counter) | alone & (space.counter == Counter.NONE)


def _least(a: Value, b: Value) -> Value:
    return Mux(a < b, a, b)


def _most(a: Value, b: Value) -> Value:
    return Mux(a < b, b, a)
