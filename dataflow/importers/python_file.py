"""A network that a Python file makes: its global `network`."""

import runpy
from pathlib import Path

from dataflow.network import Network
from hw.errors import InputError


def read_network(path: Path) -> Network:
    """Run the file and take its `network`; `InputError` where it fails, or has none."""
    try:
        names = runpy.run_path(str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what ends a program
        raise InputError(f"{path}: {type(error).__name__}: {error}") from error
    network = names.get("network")
    if not isinstance(network, Network):
        raise InputError(f"{path}: must set network to a dataflow.network.Network, not to {type(network).__name__}")
    return network
