import json
from pathlib import Path

from sim.stress.exhaustive import digest, multiplier

RECORD = Path(__file__).parents[3] / "reports" / "reference" / "exhaustive_multiply.json"


def test_the_recorded_run_is_of_the_present_multiplier():
    """A change of the multiplier's Verilog needs the long run again: ``python -m sim.stress.exhaustive``."""
    record = json.loads(RECORD.read_text())
    assert (record["compared"], record["different"]) == (2**32, 0)
    assert record["verilog_hash"] == digest(multiplier())
