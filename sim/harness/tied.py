"""Imported in a simulation before its tests: it ends with the process that started it, however that one ends."""

import os
import warnings

from hw.processes import end_with_parent

warnings.filterwarnings("ignore", message=f"No tests were discovered in module: {__name__}")
end_with_parent()
if os.getppid() != int(os.environ["NMTRAIN_PARENT"]):  # it ended before
    os._exit(1)
