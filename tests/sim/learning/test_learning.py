"""A training on the RTL is the trainer's, step by step: batches of two sizes, interrupted, resumed and moved; and what is told
where it is not."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import pywellen

from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError, SimulationError
from hw.formats import BINARY16, BINARY32, FLOAT8_E4M3FN
from hw.isa.commands import Halt, Sink, Store, Sync
from hw.ratio import Ratio
from sim.cli import main
from sim.learning.loop import STEPS, first_test, learn
from sim.learning.recording import Part, operations, record
from sim.rtl.image import write
from sim.rtl.sat import Device
from sim.steps.assembled import assemble_step, initial_memory
from sim.steps.difference import _number
from sim.steps.whole_step import StepsOnRtl
from training.experiment import Experiment, build_model, build_optimiser, run
from training.journal import Journal
from training.machine.walks import blocks

TINY, TIMING = PRESETS["tiny"], Memory(10, 1)
IMAGES, BATCH, FEATURES, CLASSES = 23, 10, 16, 4
STEPS_AN_EPOCH = 3
NETWORK = """
from dataflow.network import INPUT, Linear, Network, Relu

LAYERS = (
    Linear(name="fc1", inputs=(INPUT,), out_features=16, prune=True),
    Relu(name="relu", inputs=("fc1",)),
    Linear(name="fc2", inputs=("relu",), out_features=16),
    Relu(name="relu2", inputs=("fc2",)),
    Linear(name="fc3", inputs=("relu2",), out_features=4),
)
network = Network(name="small", input_shape=(16,), layers=LAYERS)
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Two epochs of a small network on random images, whose last batch is a smaller one."""
    folder = tmp_path_factory.mktemp("learning")
    (folder / "small.py").write_text(NETWORK)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, IMAGES)
    images = rng.standard_normal((IMAGES, FEATURES)).astype(np.float32) + 2 * np.eye(CLASSES, FEATURES)[labels]
    arrays = {
        f"{part}_{what}": values for part in ("train", "test") for what, values in (("images", images), ("labels", labels))
    }
    np.savez(folder / "data.npz", **arrays)
    return Experiment(
        data=str(folder / "data.npz"), model=str(folder / "small.py"), ratio=Ratio(2, 8), epochs=2, batch=BATCH, exact=True
    )


@pytest.fixture(scope="module")
def by_numpy(experiment):
    """What the trainer alone makes of it."""
    return run(experiment)


def fresh(experiment):
    """Its model and optimiser before the first step."""
    return build_model(experiment, np.random.default_rng(0)), build_optimiser(experiment)


def same(model, other):
    state, due = model.state(), other.state()
    return state.keys() == due.keys() and all(np.array_equal(state[name], due[name]) for name in due)


def test_it_is_the_trainers_training(experiment, by_numpy, tmp_path):
    model, result = learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity))
    assert same(model, by_numpy[0])
    assert result["accuracy"] == by_numpy[1]["test_accuracy"]
    history = result["history"]
    assert [one["step"] for one in history] == list(range(1, 2 * STEPS_AN_EPOCH + 1))
    weights = [BATCH, BATCH, IMAGES - 2 * BATCH]
    for epoch, loss in enumerate(by_numpy[1]["train_loss"]):
        losses = [one["loss"] for one in history[epoch * STEPS_AN_EPOCH :][:STEPS_AN_EPOCH]]
        assert np.dot(losses, weights) / IMAGES == pytest.approx(loss, rel=1e-12)
    cycles = [one["cycles"] for one in history]
    assert cycles[0] == cycles[4], "they depend on the batch, and on which of both places is read"
    assert cycles[1] == cycles[3]
    assert max(cycles[2], cycles[5]) < min(cycles[0], cycles[1])
    assert result["rtl_cycles"] == result["counters"]["cycles"] == sum(cycles)
    assert (result["step_count"], result["bytes_different"], result["cycles_different"]) == (6, 0, 0)
    assert result["bytes_compared"] == sum(one["bytes_compared"] for one in history) > 6 * 10_000
    assert [json.loads(line) for line in (tmp_path / STEPS).read_text().splitlines()] == history


def test_it_ends_at_the_accuracy(experiment, by_numpy, tmp_path):
    _, metrics = run(experiment, until=0.01)
    assert len(metrics["train_loss"]) == 1
    journal = Journal(tmp_path, experiment.identity)
    _, result = learn(TINY, experiment, TIMING, journal, until=0.01)
    assert (result["reached"], result["epochs"], result["step_count"]) == (True, 1, STEPS_AN_EPOCH)
    assert result["accuracy"] == metrics["test_accuracy"]


def test_it_moves_between_numpy_and_the_rtl(experiment, tmp_path):
    """Stopped after every step or two, and taken on by the other executor, three times each way: the same bits in the end."""
    longer = replace(experiment, epochs=3)

    def stops(journal, steps):
        left = [steps]

        def told(_):
            left[0] -= 1
            journal.stopped = not left[0]

        return told

    for number, steps in enumerate((1, 2, 1, 1, 1, 2)):
        journal = Journal(tmp_path, longer.identity, goes_on=True)
        with pytest.raises(KeyboardInterrupt):
            if number % 2:
                learn(TINY, longer, TIMING, journal, told=stops(journal, steps))
            else:
                run(longer, stops(journal, steps), journal)
    assert [json.loads(line)["step"] for line in (tmp_path / STEPS).read_text().splitlines()] == [2, 3, 5, 7, 8]
    model, metrics = run(longer, journal=Journal(tmp_path, longer.identity, goes_on=True))
    due, alone = run(longer)
    assert same(model, due)
    assert (metrics["test_accuracy"], metrics["train_loss"]) == (alone["test_accuracy"], alone["train_loss"])


def test_a_host_that_is_killed_goes_on_from_its_checkpoint(experiment, by_numpy, tmp_path):
    """By SIGKILL in the second epoch: the checkpoint is that of the first one."""

    def host():
        def told(where):
            if where.step == STEPS_AN_EPOCH + 1:
                os.kill(os.getpid(), signal.SIGKILL)

        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity), told=told)

    process = get_context("fork").Process(target=host)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    model, result = learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity, goes_on=True))
    assert same(model, by_numpy[0])
    assert [one["step"] for one in result["history"]] == list(range(1, 2 * STEPS_AN_EPOCH + 1))


def test_a_step_that_overflows_is_skipped_by_both(experiment, tmp_path, monkeypatch):
    first = 2.0**20
    monkeypatch.setattr("training.loss_scale.LossScale.__init__.__defaults__", (first, 500))
    due, metrics = run(experiment)
    assert 0 < metrics["skipped_steps"] < 2 * STEPS_AN_EPOCH
    model, result = learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity))
    assert same(model, due)
    updated = [one["updated"] for one in result["history"]]
    assert updated.count(False) == metrics["skipped_steps"]
    scales = [first / 2 ** updated[:step].count(False) for step in range(len(updated))]
    assert [one["loss_scale"] for one in result["history"]] == scales


def test_the_first_difference_is_told(experiment, tmp_path, monkeypatch):
    """A bit of a result that the RTL has otherwise: its step, program, operation, tensor, place, and both values."""
    outcome, programs = Device.outcome, []

    def wrong(self):
        found = outcome(self)
        programs.append(found)
        if len(programs) == 3:  # the second step's forward program
            sinks = {sink: (addresses, values.copy()) for sink, (addresses, values) in found.writes.sinks.items()}
            values = next(values for _, values in sinks.values() if len(values))
            values[1] ^= 0x80  # the sign of the first number that is written
            object.__setattr__(found.writes, "sinks", sinks)
        return found

    monkeypatch.setattr(Device, "outcome", wrong)
    with pytest.raises(SimulationError) as told:
        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity))
    assert str(told.value).startswith("step 2: forward, command 0 (LOAD ")
    first, waveform = str(told.value).splitlines()
    zero = "0.0000000000 x 2^-14)"
    assert first.endswith(f"relu.output[0, 0]: 0x8000 (-{zero} on the RTL, 0x0000 (+{zero} in NumPy")
    assert waveform == f"its waveform: {tmp_path / 'step2_forward_0.fst'}"
    assert (tmp_path / "step2_forward_0.fst").stat().st_size > 10_000
    assert len((tmp_path / STEPS).read_text().splitlines()) == 1, "the step before it stays"


def test_a_difference_is_told_by_its_command(experiment, tmp_path, monkeypatch):
    """By the number that a program's text has. The waveform has the operation that can run by itself: an update goes on while a
    product's tiles are open."""
    backward = StepsOnRtl(TINY, *fresh(experiment), BATCH).programs(BATCH)[1]
    whole = next(one for one in operations(backward) if sum(isinstance(command, Store) for command in one.commands) > 1)
    store = next(number for number in range(whole.first, whole.end) if isinstance(backward[number], Store))
    behind = next(number for number in range(store + 1, whole.end) if isinstance(backward[number], Store))
    place = next(iter(blocks(backward[behind].walk, TINY.address_bits))).addresses.min()
    outcome = Device.outcome

    def wrong(self):
        found = outcome(self)
        if found.writes:
            addresses, values = found.writes.sinks[Sink.RESULTS]
            found.writes.sinks[Sink.RESULTS] = addresses, values ^ (addresses == place).astype(np.uint8)
        return found

    monkeypatch.setattr(Device, "outcome", wrong)
    with pytest.raises(SimulationError) as told:
        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity))
    found, waveform = str(told.value).splitlines()
    assert re.match(rf"step 1: backward, command {store + 1} \([A-Z, ]*STORE RESULTS\): ", found)
    path = tmp_path / f"step1_backward_{store + 1}.fst"
    assert waveform == f"its waveform: {path}"
    assert path.exists()


def test_ctrl_c_leaves_a_checkpoint(experiment, by_numpy, tmp_path):
    """As a terminal sends it: to the command and to its simulation."""
    out, names = tmp_path / "out", ["--data", experiment.data, "--model", experiment.model, "--batch", str(BATCH)]
    command = [sys.executable, "-c", "from sim.cli import main; main()", "cosim", "--whole", "--until", "100", "--epochs", "2"]
    command += [*names, "--latency", "10", "--out", str(out), "--json"]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / STEPS).exists() or not (out / STEPS).read_text():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        printed, said = process.communicate()
    assert (process.returncode, printed, said.splitlines()[-1]) == (130, "", "nmtrain: interrupted")
    done = len((out / STEPS).read_text().splitlines())
    assert 0 < done < 2 * STEPS_AN_EPOCH
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    told = json.loads(again.stdout)
    assert [one["step"] for one in told["history"]] == list(range(1, 2 * STEPS_AN_EPOCH + 1))
    with np.load(out / "weights.npz") as weights:
        due = by_numpy[0].state()
        assert due.keys() <= set(weights.files)
        assert all(np.array_equal(weights[name], values) for name, values in due.items())


def test_a_number_is_told_by_its_parts():
    assert _number(0xC100, BINARY16) == "0xc100 (-1.0100000000 x 2^1)"
    assert _number(0x0001, BINARY16) == "0x0001 (+0.0000000001 x 2^-14)"
    assert _number(0xFC00, BINARY16) == "0xfc00 (-infinity)"
    assert _number(0x7FC00000, BINARY32) == "0x7fc00000 (+NaN)"
    assert _number(0x7E, FLOAT8_E4M3FN) == "0x7e (+1.110 x 2^8)"
    assert _number(0x7F, FLOAT8_E4M3FN) == "0x7f (+NaN)"


def test_the_command(experiment, tmp_path, capsys):
    names = ["--data", experiment.data, "--model", experiment.model, "--batch", str(BATCH), "--latency", "10"]
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["cosim", "--whole", "--until", "1", "--epochs", "1", *names, "--out", str(out), "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "cosim.json").read_text())
    assert told["step_count"] == STEPS_AN_EPOCH
    assert (out / "learning.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit) as ended:
        main(["eval", str(out / "weights.npz"), "--data", experiment.data, "--out", str(tmp_path), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == told["accuracy"]


def test_two_trainings_side_by_side(experiment, tmp_path, capsys):
    names = ["--data", experiment.data, "--model", experiment.model, "--batch", str(BATCH), "--latency", "10"]
    command = ["cosim", "--whole", "--until", "1", "--epochs", "1", *names]
    for more in (["--method", "dense", "--wave", "step:9"], ["--beside", str(tmp_path / "first")]):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more, "--out", str(tmp_path / ("second" if "--beside" in more else "first"))])
        assert ended.value.code == 0
        said = capsys.readouterr().err
        assert ("no waveform: the training ended before step 9" in said) == ("--wave" in more)
    cycles = {name: json.loads((tmp_path / name / "cosim.json").read_text())["rtl_cycles"] for name in ("first", "second")}
    after = f"1 % of the test images after {STEPS_AN_EPOCH} steps and"
    assert f"dense: {after} {cycles['first']:,} cycles\n" in said
    assert f"bdwp 2:8: {after} {cycles['second']:,} cycles\n" in said
    moved = json.loads((tmp_path / "first" / "cosim.json").read_text())
    moved["tests"][0]["steps_on_rtl"] -= 1
    (tmp_path / "moved.json").write_text(json.dumps(moved))
    with pytest.raises(SystemExit) as ended:
        main([*command, "--beside", str(tmp_path / "moved.json"), "--out", str(tmp_path / "second")])
    assert f"dense: {after} {cycles['first']:,} cycles; 1 of these steps were not on the RTL" in capsys.readouterr().err
    (tmp_path / "first" / "cosim.json").write_text('{"history": [{"step": 1}]}')
    with pytest.raises(SystemExit) as ended:
        main([*command, "--beside", str(tmp_path / "first"), "--out", str(tmp_path / "third")])
    assert ended.value.code == 2
    assert "no training on the RTL; allowed: cosim.json of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "95"], "--until is for --whole"),
        (["--whole", "--until", "95", "--dataflow", "ws"], "without --dataflow"),
        (["--whole", "--resume"], "--resume, --wave and --beside are for --until"),
        (["--whole", "--until", "95", "--beside", "{here}"], "No such file"),
    ],
)
def test_what_does_not_go_together(arguments, message, tmp_path, capsys):
    arguments = [argument.format(here=tmp_path) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["cosim", *arguments, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_waveform_of_a_step(experiment, tmp_path):
    """Of the second step's backward program's first operation: the accelerator starts it, and it ends by an interrupt."""
    _, plain = learn(TINY, experiment, TIMING, Journal(tmp_path / "plain", experiment.identity), until=0.01)
    steps = StepsOnRtl(TINY, *fresh(experiment), BATCH)
    forward = len(steps.programs(BATCH)[0])
    part = Part.parse(f"step:2/command:{forward}")
    _, result = learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity), until=0.01, wave=part)
    assert result["history"] == plain["history"], "it costs nothing elsewhere"
    names = sorted(path.name for path in tmp_path.glob("step2_*"))
    assert names == ["step2_backward_0.fst", "step2_backward_0.gtkw", "step2_backward_0.sucl"]
    wave = pywellen.Waveform(str(tmp_path / names[0]))
    variables = {variable.full_name: variable for variable in wave.all_vars()}
    asked = [line for line in (tmp_path / names[1]).read_text().splitlines() if not line.startswith("[")]
    assert set(asked) <= variables.keys(), "the list names signals of the waveform"
    assert [value for _, value in variables["sat_bench.body.dut.irq"].tv][-3:] == [0, 1, 0]
    assert result["waveforms"] == names[:1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part(1, 84), r"command must be 0..83: forward's are 0..18, backward's those above; not 84"),
        (Part(0), "step 0 is done; the next one is 1"),
    ],
)
def test_no_waveform_of_what_there_is_not(experiment, tmp_path, part, message):
    with pytest.raises(InputError, match=message):
        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity), wave=part)


def test_a_command_that_is_skipped_has_no_waveform(experiment, tmp_path):
    """As the updates of batch norm are, behind a synchronisation, once a gradient was not finite."""
    model, optimiser = fresh(experiment)
    assembled = assemble_step(TINY, model, optimiser, 0.05, BATCH)
    memory = initial_memory(TINY, assembled, model, optimiser)
    gradient = assembled.memory["fc3.output_gradient"]
    write(memory, gradient, np.full(gradient.shape, np.nan, np.float32), TINY.storage_format)
    *before, last = operations(assembled.backward)
    skipped = [replace(command, conditional=True) for command in assembled.backward[last.first : last.end]]
    program = [*assembled.backward[: last.first], Sync(), *skipped, Halt()]
    assert record(TINY, memory, program, last.first + 1, TIMING, tmp_path / "wave.fst") == []
    assert record(TINY, memory, program, len(program) - 1, TIMING, tmp_path / "wave.fst") == [], "HALT"
    assert not list(tmp_path.iterdir())
    assert [one.first for one in operations(program)] == [*(one.first for one in before), last.first + 1]


def test_a_training_that_has_ended_is_not_lost(experiment, tmp_path):
    """Killed before its files were there: the steps are those that stand in the folder."""
    journal = Journal(tmp_path, experiment.identity)
    _, due = learn(TINY, experiment, TIMING, journal, until=0.01)
    _, found = learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity, goes_on=True), until=0.01)
    assert (found["history"], found["tests"]) == (due["history"], due["tests"])
    assert found["bytes_compared"] == due["bytes_compared"], "by the process before, too"
    (test,) = found["tests"]
    steps = {"step": STEPS_AN_EPOCH, "steps_on_rtl": STEPS_AN_EPOCH}
    assert test == {"epoch": 1, "cycles": due["rtl_cycles"], "accuracy": due["accuracy"]} | steps
    assert (first_test(due, test["accuracy"]), first_test(due, 1.1)) == (test, None)
    (tmp_path / STEPS).unlink()
    with pytest.raises(InputError, match="its training has ended; no step is left for the RTL"):
        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity, goes_on=True), until=0.01)


@pytest.mark.parametrize("line", ["{}", "3", '{"step": 1, "loss": 1, "accuracy": "1", "cycles": 1}'])
def test_steps_that_are_none(experiment, tmp_path, line):
    (tmp_path / STEPS).write_text(line + "\n")
    with pytest.raises(InputError, match=r"steps\.jsonl: damaged; each of its lines must be a step's, with step, loss"):
        learn(TINY, experiment, TIMING, Journal(tmp_path, experiment.identity, goes_on=True))


@pytest.mark.parametrize(
    ("text", "part"),
    [("step:3", Part(3)), ("command:17", Part(1, 17)), ("step:2/command:0", Part(2, 0))],
)
def test_a_part_is_read(text, part):
    assert Part.parse(text) == part


WRONG = ["", "step:0", "step", "command:-1", "step:1/", "/command:2", "command:1/step:2", "step:" + "9" * 30]


@pytest.mark.parametrize("text", WRONG)
def test_no_part(text):
    with pytest.raises(InputError, match="--wave must be step:S"):
        Part.parse(text)
