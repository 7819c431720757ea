"""A network that a Python file makes: its global `network`."""

from pathlib import Path

from dataflow.network import Network
from hw.errors import InputError
from hw.inputs import run_python


def read_network(path: Path) -> Network:
    """Run the file and take its `network`; `InputError` where it fails, or has none."""
    network = run_python(path).get("network")
    if not isinstance(network, Network):
        raise InputError(f"{path}: must set network to a dataflow.network.Network, not to {type(network).__name__}")
    return network
