"""Parts of programs: what is drawn, how it is cut, and what is said where an executor differs."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest

import sim.validation.validate
from dataflow import importers
from dataflow.analysis.exact import RATES
from dataflow.compile.assemble import assemble
from dataflow.compile.walks import Step, loops
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from hw.config import PRESETS
from hw.isa.agreement import Agreement
from hw.isa.commands import Counter, Load, Product, Store, Sync, Walk
from hw.ratio import Ratio
from sim.cli import main
from sim.validation.cuts import Limits, cut, first_of, words_in
from sim.validation.sections import sections
from training import methods
from training.machine.executor import Executor
from training.machine.walks import read_words

TINY = PRESETS["tiny"]
NARROW = ("mlp", "cnn", "resnet9/16", "resnet50/32", "vgg19/32", "vit/8")


def program(name, config=TINY, batch=2):
    network = importers.load(name).network
    stages = methods.load("bdwp").sparse_stages
    return assemble(network, lower(network, config, batch=batch, ratio=Ratio(2, 8), sparse_stages=stages), config, RATES)


def test_sections_are_the_whole_program_in_order():
    assembled = program("cnn")
    own = [replace(one, after=0) if isinstance(one, Load | Store) else one for one in (*assembled.forward, *assembled.backward)]
    due = [command for command in own if not isinstance(command, Sync) and command.OPCODE.name != "HALT"]
    made = [command for section in sections(assembled) for operation in section.operations for command in operation]
    assert [replace(one, after=0) if isinstance(one, Load | Store) else one for one in made] == due
    assert {section.origin.kind for section in sections(assembled)} == {"product", "vector", "update"}


def test_weights_that_are_not_held_are_cut_as_the_tiles_are():
    """Windows from a ring are cut at rows of images, so that there are other tiles than were asked for."""
    small = PRESETS["small"]
    for section in sections(program("vgg19", small)):
        agreement = Agreement(small)
        for command in cut(small, section, Limits((3, 2, 2), 100_000, 64)).commands:
            agreement.follow(command)


@pytest.mark.parametrize("name", NARROW)
def test_every_section_runs_by_itself_when_it_is_cut(name):
    rng = np.random.default_rng(0)
    for number, section in enumerate(sections(program(name))):
        limits = Limits((1 + number % 3, 1 + number // 3 % 3, 1 + number % 2), 256, 64)
        short = cut(TINY, section, limits)
        sample = sim.validation.validate._sample(TINY, short, rng)
        Executor(TINY, sample.memory).run(sample.commands)  # refuses what does not fit together
        assert len(short.commands) <= len(section.commands)
        for command in short.commands:
            if isinstance(command, Product) and not command.cuts:
                assert command.inner <= limits.tiles[2]
                assert command.middle <= limits.tiles[1]


def test_the_first_words_of_a_walk_are_those_that_come_first():
    random, memory, possible = Random(1), np.arange(1 << 16, dtype=np.uint8), 0
    for _ in range(300):
        tiles = {space: (random.randint(1, 9), random.randint(1, 3)) for space in "uv"}
        counters = random.sample([Counter.OUTER, Counter.MIDDLE, Counter.INNER, Counter.NONE], 2)
        fields = {}
        for (space, (tile, count)), counter in zip(tiles.items(), counters, strict=True):
            size = tile * count - random.randint(0, tile - 1)
            if counter == Counter.NONE:
                tile = size
            else:
                fields[counter.name.lower()] = -(-size // tile)
            fields |= {f"{space}_size": size, f"{space}_tile": tile, f"{space}_counter": counter}
            fields[space] = loops([Step(size, random.randint(1, 64))], run=space == "u")
        walk = Walk(boundary=4, **fields)
        words = read_words(TINY, memory, walk)
        assert words_in(walk) == len(words)
        for count in range(1, len(words) + 1):
            if (first := first_of(walk, count)) is not None:
                possible += 1
                np.testing.assert_array_equal(read_words(TINY, memory, first), words[:count])
        assert first_of(walk, len(words)) == walk
    assert possible > 2000


def validate(tmp_path, capsys, *arguments):
    """Exit status, and what was written."""
    with pytest.raises(SystemExit) as ended:
        main(["validate", *arguments, "--config", "tiny", "--batch", "2", "--out", str(tmp_path)])
    return ended.value.code, json.loads((tmp_path / "validate.json").read_text()), capsys.readouterr().err


@pytest.mark.parametrize("name, scale", [("mlp", 1), ("resnet9", 16), ("vit", 8)])
def test_parts_of_a_program_agree_on_all_executors(tmp_path, capsys, name, scale):
    status, found, _ = validate(tmp_path, capsys, name, "--scale", str(scale), "--samples", "12", "--seed", "3")
    assert status == 0
    assert found["samples"] == sum(layer["samples"] for layer in found["layers"]) == 12
    assert found["words_compared"] > 1000
    assert found["words_different"] == found["counters_different"] == 0
    assert found["rtl_cycles"] == found["model_cycles"] == sum(layer["rtl_cycles"] for layer in found["layers"])


def test_a_machine_that_is_a_cycle_late_is_found(tmp_path, capsys, monkeypatch):
    def late(*given, **options):
        found = execute(*given, **options)
        return replace(found, cycles=found.cycles + 1)

    monkeypatch.setattr(sim.validation.validate, "execute", late)
    status, found, said = validate(tmp_path, capsys, "mlp", "--samples", "2")
    assert status == 1
    assert found["model_cycles"] == found["rtl_cycles"] + 2
    assert found["counters_different"] == 2
    assert "by the machine" in said
    assert (tmp_path / "differs.bin").exists()


def test_another_word_is_found(tmp_path, capsys, monkeypatch):
    class Wrong(Executor):
        def run(self, commands):
            stored = self.stored

            def bend(operation, store):
                self.memory[store.walk.base] ^= 1
                stored(operation, store)

            self.stored = bend
            super().run(commands)

    monkeypatch.setattr(sim.validation.validate, "Executor", Wrong)
    status, found, said = validate(tmp_path, capsys, "mlp", "--samples", "1")
    assert status == 1
    assert found["words_different"] >= 1
    assert found["layers"][0]["words_different"] == found["words_different"]
    assert "on the RTL" in said
