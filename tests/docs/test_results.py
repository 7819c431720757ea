"""The table of estimates is what the model says today."""

from pathlib import Path

from dataflow import zoo
from dataflow.studies import headline
from hw.config import PRESETS
from hw.ratio import Ratio
from reports.studies import headline_markdown
from sim.cli.study import FIVE

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def test_the_table_of_the_five_networks():
    """Where it differs: nmtrain study networks, then networks.md into docs/results.md."""
    rows = list(headline([zoo.load(name) for name in FIVE], PRESETS["vcu1525"], ratio=Ratio(2, 8), batch=512))
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [line for line in shown if line.split(" ")[1] in (*FIVE, "network", "mean")] == [
        line for line in headline_markdown(rows).splitlines() if line.startswith("| ")
    ]
