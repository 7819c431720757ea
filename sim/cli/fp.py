"""``nmtrain fp``: a floating-point block of the RTL on a vector file."""

from pathlib import Path

import click

from hw.files import write_json
from hw.formats import FloatFormat
from sim.cli.common import Count, FormatType, output_options, show
from sim.console import log
from sim.rtl.fp import LATENCY_CYCLES, OPERANDS, check_operation, run_vectors
from sim.stress.vectors import differing, read_vectors

MISMATCHES_SHOWN = 10


@click.command(name="fp")
@click.option("--op", type=click.Choice(list(OPERANDS)), required=True, help="what the block does")
@click.option("--from", "source", type=FormatType(), required=True, help="format of the operands")
@click.option("--to", "target", type=FormatType(), help="format of the result  [default: that of the operands]")
@click.option(
    "--vectors", type=click.Path(path_type=Path), required=True, help="file: operands, result and perhaps flags on each line"
)
@click.option("--latency", type=Count(64), help="pipeline registers of the block  [default: 2, add: 4]")
@output_options("out/fp")
def command(
    op: str, source: FloatFormat, target: FloatFormat | None, vectors: Path, latency: int | None, out: Path, as_json: bool
) -> int:
    """Run a floating-point block of the RTL on a vector file of Berkeley TestFloat.

    Operands, results and flags are hexadecimal; flags are read past, and any NaN equals any other. Writes fp.json. Exits with 0
    where every result is the file's, with 1 where some differ.

    \b
    Formats:
      binary16 (f16), bfloat16 (bf16), binary32 (f32), float8_e4m3 (e4m3), float8_e4m3fn (e4m3fn, OCP),
      float8_e5m2 (e5m2)
    \b
    Example:
      testfloat_gen f32_add > add.txt
      nmtrain fp --op add --from f32 --vectors add.txt
      printf '3C00 4000 40000000\\n' > mul.txt
      nmtrain fp --op mul --from f16 --to f32 --vectors mul.txt
    """
    target = target or source
    latency_cycles = latency or LATENCY_CYCLES[op]
    check_operation(op, source, target)
    given = read_vectors(vectors, OPERANDS[op], source, target)
    results = run_vectors(op, source, target, given.operands, latency_cycles=latency_cycles)
    different = differing(results, given.results, target)
    mismatches = [
        {
            "line": int(given.lines[index]),
            "operands": " ".join(f"{operand:0{source.width // 4}X}" for operand in given.operands[index]),
            "expected": f"{given.results[index]:0{target.width // 4}X}",
            "actual": f"{results[index]:0{target.width // 4}X}",
        }
        for index in different[:MISMATCHES_SHOWN]
    ]
    result = {
        "op": op,
        "from": source.name,
        "to": target.name,
        "latency_cycles": latency_cycles,
        "compared": len(results),
        "different": len(different),
        "mismatches": mismatches,
    }
    write_json(out / "fp.json", result)
    log.print(f"{op} {source.name} to {target.name}: {len(results)} compared, {len(different)} different; {out / 'fp.json'}")
    for fault in mismatches:
        log.print(f"  {vectors}:{fault['line']}: {fault['operands']} gives {fault['actual']}, not {fault['expected']}")
    show(result, as_json=as_json)
    return 1 if len(different) else 0
