"""Ask a model about a program that may be anything: in a process of its own, with little memory and time."""

import resource
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from hw.errors import InputError
from hw.processes import end_with_parent

SECONDS = 60
SPARE_BYTES = 2 << 30
"""Of memory, beside what the process has when it begins and sixteen times the program's memory."""


def ask(model: Callable[..., object], *given: Any, memory_bytes: int) -> str:  # noqa: ANN401 (what the model takes)
    """What `model`, a function of a module, says of what it is given: why it refuses, or nothing where it does not.

    Parameters
    ----------
    model : callable
        Called with `given`; both are sent to the other process.
    memory_bytes : int
        Of the program's memory, by which the model's own is limited.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, memory_bytes, model, given), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            return f"no answer within {SECONDS} s"
        return str(ours.recv())
    except EOFError:
        return "no answer: it ended without one"
    finally:
        process.kill()
        process.join()


def _answer(pipe: Connection, memory_bytes: int, model: Callable[..., object], given: tuple[Any, ...]) -> None:
    end_with_parent()
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 16 * memory_bytes + SPARE_BYTES,) * 2)
    try:
        model(*given)
        pipe.send("")
    except InputError as error:
        pipe.send(str(error))
    except MemoryError:
        pipe.send("it takes more memory than there is for it")
    except Exception as error:  # a model is for programs that assemble; of others it need only say that they are none
        pipe.send(f"{type(error).__name__}: {error}")
