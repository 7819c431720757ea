"""Models are asked with little memory and time, and whatever they do is told in a line."""

import os
import time

import numpy as np

from hw.errors import InputError
from sim.steps import asked
from sim.steps.asked import ask


def refuse(why):
    raise InputError(why)


def test_a_model_says_why_it_refuses_and_nothing_where_it_does_not():
    assert ask(refuse, "because", memory_bytes=0) == "because"
    assert ask(len, [1, 2], memory_bytes=0) == ""
    assert ask(next, iter([]), memory_bytes=0) == "StopIteration: "


def test_a_model_that_wants_too_much_or_dies_is_told():
    assert ask(np.ones, 1 << 50, memory_bytes=0) == "it takes more memory than there is for it"
    assert ask(os._exit, 3, memory_bytes=0) == "no answer: it ended without one"


def test_a_model_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(asked, "SECONDS", 0.1)
    assert ask(time.sleep, 600, memory_bytes=0) == "no answer within 0.1 s"
