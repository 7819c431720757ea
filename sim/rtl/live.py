"""A simulation that goes on in the background and answers its host, see `sim.harness.run_programs`."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw.errors import SimulationError
from sim.harness import PROCESS
from sim.harness.run_programs import SOCKET
from sim.simulators.verilator import Build

POLL_SECONDS = 0.02


class Host:
    """The host's end: requests and their answers, in turn.

    Parameters
    ----------
    connection : socket
        To the simulation.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rw", encoding="ascii")

    def ask(self, what: str, **arguments: Any) -> Any:  # noqa: ANN401 (what JSON holds)
        """Ask, and wait for the answer."""
        self.send(what, **arguments)
        return self.receive()

    def send(self, what: str, **arguments: Any) -> None:  # noqa: ANN401
        """Ask for something that takes its time."""
        self._lines.write(json.dumps({"do": what, **arguments}) + "\n")
        self._lines.flush()

    def receive(self) -> Any:  # noqa: ANN401
        """The answer."""
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the simulation has ended")
        return json.loads(line)

    def close(self) -> None:
        """Let the simulation end."""
        self._lines.close()


@contextmanager
def answering(simulator: Build, harness: str, folder: Path, wave: Path | None = None) -> Iterator[Host]:
    """Run a harness in the background while the host talks to it.

    Parameters
    ----------
    simulator : Build
        Of the design.
    harness : str
        Module of the cocotb test, which listens at `SOCKET` in its working folder.
    folder : Path
        That folder, empty of earlier runs; its path has to be short, as sockets want it.
    wave : Path, optional
        Where a waveform goes, see `Build.run`.

    Raises
    ------
    SimulationError
        If the simulation fails, before, while or after it is asked.
    """
    faults: list[Exception] = []

    def simulate() -> None:
        try:
            simulator.run(harness, work=folder, environment={}, wave=wave)
        except Exception as fault:  # told in the thread that waits
            faults.append(fault)

    thread = threading.Thread(target=simulate)
    thread.start()
    try:
        with _connected(folder / SOCKET, thread) as connection:
            host = Host(connection)
            try:
                yield host
            except KeyboardInterrupt:  # in the middle of a program, perhaps, which may take long
                os.kill(int((folder / PROCESS).read_text(encoding="ascii")), signal.SIGKILL)
                raise
            finally:
                host.close()
    except (ConnectionError, BrokenPipeError) as error:
        thread.join()
        raise (faults or [SimulationError(f"{harness}: {error}")])[0] from None
    finally:
        thread.join()
    if faults:
        raise faults[0]


@contextmanager
def _connected(path: Path, thread: threading.Thread) -> Iterator[socket.socket]:
    """A connection, as soon as the simulation listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        while True:
            try:
                connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                if not thread.is_alive():
                    raise ConnectionResetError("the simulation has ended") from None
                thread.join(POLL_SECONDS)
            else:
                break
        yield connection
