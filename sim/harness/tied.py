"""Imported in a simulation before its tests: it ends with the process that started it, however that one ends, and not before.

A terminal sends a Ctrl-C to both: that process decides.
"""

import os
import signal
import warnings
from pathlib import Path

from hw.processes import end_with_parent
from sim.harness import PROCESS

warnings.filterwarnings("ignore", message=f"No tests were discovered in module: {__name__}")
end_with_parent()
if os.getppid() != int(os.environ["NMTRAIN_PARENT"]):  # it ended before
    os._exit(1)
signal.signal(signal.SIGINT, signal.SIG_IGN)
Path(PROCESS).write_text(str(os.getpid()), encoding="ascii")
