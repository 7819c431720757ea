"""``nmtrain gemm``."""

from dataclasses import replace
from pathlib import Path

import click
from rich import box
from rich.table import Table

from hw.config import AcceleratorConfig
from hw.files import write_json
from hw.formats import FloatFormat
from hw.ratio import Ratio
from sim.cli.common import MOST_SEED, Count, FormatType, config_option, output_options, ratio_option, show
from sim.console import log


@click.command(name="gemm")
@config_option()
@click.option("--m", type=Count(1 << 16), default=64, show_default=True, help="rows of the weights")
@click.option("--n", type=Count(1 << 16), default=64, show_default=True, help="columns of the result")
@click.option("--k", type=Count(1 << 16), default=256, show_default=True, help="reduction length before pruning")
@ratio_option()
@click.option("--format", "storage", type=FormatType(most_bits=16), help="of the operands  [default: the configuration's]")
@click.option("--dataflow", type=click.Choice(["os", "ws"]), default="os", show_default=True, help="what stays in a PE")
@click.option("--seed", type=Count(MOST_SEED, least=0), default=0, show_default=True, help="of the operands and the stalls")
@click.option("--stall-probability", type=float, default=0.0, show_default=True, help="chance that a stream stalls in a cycle")
@output_options("out/gemm")
def command(
    config: AcceleratorConfig,
    m: int,
    n: int,
    k: int,
    ratio: Ratio,
    storage: FloatFormat | None,
    dataflow: str,
    seed: int,
    stall_probability: float,
    out: Path,
    as_json: bool,
) -> int:
    """Run one random product on NumPy, the cycle model and the RTL, and compare words and cycles.

    With stalls the RTL takes longer than the model, which has none, and only the words are compared.

    \b
    Example:
      nmtrain gemm --config tiny --m 33 --n 5 --k 70 --ratio 2:8
    \b
    Formats:
      binary16 (f16), bfloat16 (bf16), float8_e4m3 (e4m3), float8_e4m3fn (e4m3fn, OCP), float8_e5m2 (e5m2)
    """
    from dataflow.ir.program import Dataflow
    from sim.rtl.gemm import Gemm

    if storage:
        config = replace(config, storage=storage.name)
    gemm = Gemm(
        config=config, m=m, n=n, k=k, ratio=ratio, dataflow=Dataflow(dataflow), seed=seed, stall_probability=stall_probability
    )
    result = gemm.run()
    write_json(out / "gemm.json", result)
    show(result, as_json=as_json)
    table = Table("words", "differ", "RTL cycles", "model cycles", "MACs", "utilization", box=box.SIMPLE)
    values = [result[key] for key in ("words_compared", "words_different", "rtl_cycles", "model_cycles", "macs")]
    table.add_row(*(f"{value:,}" for value in values), f"{result['utilization']:.1%}")
    log.print(table)
    agrees = result["words_different"] == 0 and (stall_probability > 0 or result["rtl_cycles"] == result["model_cycles"])
    return 0 if agrees else 1
