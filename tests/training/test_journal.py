"""What a training leaves behind, and when: metrics of each epoch, checkpoints as time passes."""

import json

import numpy as np
import pytest

from dataflow import zoo
from hw.errors import InputError
from training import journal
from training.backend import FastBackend
from training.checkpoint import write_checkpoint
from training.journal import CHECKPOINT, METRICS, Journal
from training.model import Model
from training.optimiser import Sgd


@pytest.fixture
def clock(monkeypatch):
    """Seconds, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(journal, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def trained():
    return Model(zoo.load("mlp/16"), FastBackend(), np.random.default_rng(0)), Sgd()


@pytest.mark.parametrize("minutes, seconds", [(2.0, 120.0), (0.5, 30.0), (10.0, 600.0)])
def test_a_checkpoint_is_due_after_so_many_minutes_since_the_last_one(tmp_path, clock, trained, minutes, seconds):
    kept = Journal(tmp_path, minutes=minutes)
    for _ in range(2):
        clock[0] += seconds - 0.01
        assert not kept.is_due()
        clock[0] += 0.01
        assert kept.is_due()
        kept.write_checkpoint(*trained, {"epoch": 1})
    clock[0] += seconds - 0.01
    assert not kept.is_due()


def test_without_minutes_it_is_always_due_and_without_a_folder_never(tmp_path, clock, trained):
    assert Journal(tmp_path, minutes=0).is_due()
    nowhere = Journal(minutes=0, goes_on=True)
    assert not nowhere.is_due()
    nowhere.write_checkpoint(*trained, {})
    nowhere.write_metrics([{"epoch": 1}])
    nowhere.close()
    assert nowhere.resume(*trained) is None


def test_it_is_ten_minutes_unless_told(tmp_path, clock):
    kept = Journal(tmp_path)
    clock[0] += 599
    assert not kept.is_due()
    clock[0] += 1
    assert kept.is_due()


def test_metrics_are_a_line_an_epoch_and_each_is_told_once(tmp_path):
    seen, epochs = [], []
    kept = Journal(tmp_path, told=[seen.append, seen.append])
    for number in range(3):
        epochs.append({"epoch": number})
        kept.write_metrics(epochs)
    assert seen == [{"epoch": number} for number in (0, 0, 1, 1, 2, 2)]
    assert [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()] == epochs


def test_a_training_goes_on_where_it_is_told_to_and_is_the_same(tmp_path, trained):
    """From its folder's checkpoint, if there is one, until it is done."""
    identity = {"model": "mlp", "seed": 1}
    kept = Journal(tmp_path, identity, goes_on=True)
    assert kept.resume(*trained) is None
    kept.write_checkpoint(*trained, {"epoch": 3})
    assert kept.resume(*trained) == {"epoch": 3}
    assert Journal(tmp_path, identity).resume(*trained) is None
    with pytest.raises(InputError, match=r"checkpoint\.npz: its training has seed 1, not 2$"):
        Journal(tmp_path, identity | {"seed": 2}, goes_on=True).resume(*trained)
    with pytest.raises(InputError, match=r"checkpoint\.npz: its training has more None, not 1$"):
        Journal(tmp_path, identity | {"more": 1}, goes_on=True).resume(*trained)
    kept.close()
    assert not (tmp_path / CHECKPOINT).exists()
    kept.close()


@pytest.mark.parametrize("notes", [{"identity": {}}, {"standing": {}}, {"identity": [], "standing": {}}])
def test_a_checkpoint_that_does_not_say_what_it_is_of_is_damaged(tmp_path, trained, notes):
    write_checkpoint(tmp_path / CHECKPOINT, *trained, notes)
    with pytest.raises(InputError, match="a damaged checkpoint: it does not say of which training, or where that stands"):
        Journal(tmp_path, {}, goes_on=True).resume(*trained)
