"""What an experiment comes to before it is run."""

import os

import pytest

from dataflow.network import INPUT, Linear, Network
from training.experiment import worth_threads


@pytest.mark.parametrize("cores, threads", [(8, 8), (1, 1), (None, 1)])
def test_products_of_half_a_billion_operations_a_batch_are_worth_all_cores(monkeypatch, cores, threads):
    """A layer of 1,000 by 500 is half a million a sample; where nobody knows how many cores there are, it is one."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    network = Network(name="n", input_shape=(1000,), layers=(Linear(name="l", inputs=(INPUT,), out_features=500, bias=False),))
    assert worth_threads(network, 999) == 1
    assert worth_threads(network, 1000) == threads
