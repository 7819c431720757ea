"""Operations on the page of results are those of the programs."""

from pathlib import Path
from statistics import fmean

from dataflow import zoo
from dataflow.analysis.studies import BOTH
from dataflow.lowering.lower import lower
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio
from sim.cli.study import FIVE

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def operations(name, stages, ratio):
    """Multiply-accumulates of a step's products."""
    program = lower(zoo.load(name), PRESETS["vcu1525"], batch=512, ratio=ratio, sparse_stages=stages)
    return sum(product.macs for product in program.products)


def test_the_table_of_operations():
    counts = {name: (operations(name, frozenset(), DENSE), operations(name, BOTH, Ratio(2, 8))) for name in FIVE}
    rows = [(name, 100 * (1 - sparse / dense), dense / sparse) for name, (dense, sparse) in counts.items()]
    rows.append(("mean", fmean(row[1] for row in rows), fmean(row[2] for row in rows)))
    names = [row[0] for row in rows]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if line.count("|") == 4 and line.split(" ")[1:2] in ([name] for name in names)]
    assert shown == [f"| {name} | {fewer:.2f} % | {ideal:.2f} |" for name, fewer, ideal in rows]
