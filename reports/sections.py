"""Sections of a page on a training step, from the result object of `dataflow.analysis.report`."""

from typing import Any

from reports.charts import Point, roofline, roofline_position
from reports.colours import ENERGY, ENERGY_NAMES, GEMM, NAMES, STAGES
from reports.html import Section, fill
from reports.tables import Column, table
from reports.units import TIMES, grouped, percent, si

Result = dict[str, Any]

WORTH = "Cycle-exact: of the very commands that the accelerator runs, on the machine that equals its RTL in each cycle."


def assumed(result: Result) -> Section:
    """The accelerator, its memory and the batch."""
    machine = result["accelerator"]
    channels = machine["dram_channels"]
    buffers = "+".join(f"{machine[f'{name}_buffer_bytes'] / 2**20:.3g}" for name in ("w2e", "n2s", "output"))
    facts = [
        ("array", f"{machine['rows']} {TIMES} {machine['columns']} PEs"),
        ("clock", f"{machine['clock_hz'] / 1e6:g} MHz"),
        ("formats", f"{machine['storage']}, sums binary32"),
        ("memory", f"{channels} {TIMES} {machine['dram_channel_bytes_per_second'] / 1e9:g} GB/s"),
        ("buffers", f"{buffers} MiB"),
        ("vector lanes", f"{machine['vpu_lanes']}"),
        ("batch", grouped(result["batch"])),
        ("network", f"{si(result['network']['parameters'])} parameters"),
    ]
    return Section("What was run", fill("facts.html", facts=facts, sentences=result["assumptions"]))


def headline(result: Result) -> Section:
    """The figures that one remembers."""
    speedup, rate, use = result["speedup_over_dense"], result["throughput"], result["utilization"]
    images = rate["images_per_second"]
    digits = 0 if images >= 100 else 1
    figures = [
        ("whole step", f"{speedup['step']:.2f}", TIMES, "faster than dense training, all counted"),
        ("matrix products", f"{speedup['gemm']:.2f}", TIMES, f"of {speedup['ideal']:.2f} {TIMES} that pruning leaves possible"),
        ("images a second", f"{images:,.{digits}f}", "", f"dense: {rate['dense_images_per_second']:,.{digits}f}"),
        ("effective GOPS", f"{rate['effective_gops']:,.0f}", "", f"work of the dense step; peak is {rate['peak_gops']:,.0f}"),
        ("array utilisation", f"{100 * use['array']:.1f}", "%", f"over the whole step {percent(use['step'])}"),
    ]
    keys = ("name", "value", "unit", "note")
    body = fill("headline.html", figures=[dict(zip(keys, figure, strict=True)) for figure in figures])
    return Section("In short", body, WORTH)


def where_time_goes(result: Result) -> Section:
    """The step as one bar, dense beside sparse."""
    bars = [("dense", result["dense_cycles"]), (method_name(result), result["cycles"])]
    rows = [
        {
            "name": name,
            "bars": [([_segment(key, cycles[key], cycles["step"]) for key in STAGES], si(cycles["step"]))],
        }
        for name, cycles in (bars if result["sparse_stages"] else bars[1:])
    ]
    lead = "Clock cycles of one training step. Vector passes, updates and drains count only where the array waits for them."
    body = fill("bars.html", rows=rows, whole=max(c["step"] for _, c in bars), kind="step", keys=list(STAGES), stall=False)
    return Section("Where the time goes", body, lead)


def layers(result: Result) -> Section:
    """Each layer's three products, dense above sparse."""
    by_layer = _by_layer(result)
    total = {
        name: [sum(row[key] for row in rows.values()) for key in ("dense_cycles", "cycles")] for name, rows in by_layer.items()
    }
    rows = []
    for name, stages in by_layer.items():
        dense = [_segment(key, stages[key]["dense_cycles"]) for key in GEMM if key in stages]
        sparse = [segment for key in GEMM if key in stages for segment in _with_stall(stages[key])]
        rows.append({"name": name, "bars": [(dense, si(total[name][0])), (sparse, si(total[name][1]))]})
    whole = max(max(pair) for pair in total.values())
    lead = f"Clock cycles of each layer's products: dense (pale) above {method_name(result)}."
    return Section("Layer by layer", fill("bars.html", rows=rows, whole=whole, kind="layers", keys=GEMM, stall=True), lead)


def utilization(result: Result) -> Section:
    """A map of stages and layers, the fuller the better used."""
    by_layer = _by_layer(result)
    rows = [{"stage": stage, "cells": [_cell(name, by_layer[name].get(stage)) for name in by_layer]} for stage in GEMM]
    lead = "Useful multiply-accumulates over what the array could do meanwhile, its stalls included; layers from first to last."
    return Section("How well the array is used", fill("heat.html", rows=rows, names_of=list(by_layer)), lead)


def roof(result: Result) -> Section:
    """Every product under the roof of array and memory."""
    machine = result["accelerator"]
    rate = machine["dram_bytes_per_cycle"]
    points = [_point(row, "dense_", rate, hollow=True) for row in result["layers"] if row["dense_macs"] != row["macs"]]
    points += [_point(row, "", rate) for row in result["layers"]]
    chart = roofline(
        points,
        peak=machine["rows"] * machine["columns"],
        bandwidth=rate,
        x_title="MACs per byte of memory traffic",
        y_title="MACs per cycle",
    )
    lead = (
        "Each dot is one layer's product; rings are the same products dense. Under the slope memory limits, under the flat roof"
        " the array. Pruning moves products to the left: fewer MACs for almost the same activations. Traffic that hides behind"
        " a neighbour counts at the memory's full rate."
    )
    legend = fill("legend.html", keys=GEMM, stall=False)
    return Section("Roofline", legend + chart, lead)


def traffic(result: Result) -> Section:
    """Each layer's memory traffic, dense above sparse."""
    rows = []
    most = 0
    for name, stages in _by_layer(result).items():
        both = [
            [_amount(key, stages[key][f"{prefix}memory_bytes"], "B") for key in GEMM if key in stages]
            for prefix in ("dense_", "")
        ]
        sums = [sum(segment["value"] for segment in segments) for segments in both]
        rows.append({"name": name, "bars": [(part, si(size, "B")) for part, size in zip(both, sums, strict=True)]})
        most = max(most, *sums)
    step, dense = (si(result["memory_bytes"][key], "B") for key in ("step", "dense_step"))
    lead = (
        f"Bytes between memory and chip for each layer's products and what rides on their drains: dense (pale) above"
        f" {method_name(result)}. The whole step moves {step}, vector passes included; dense {dense}."
    )
    return Section("Memory traffic", fill("bars.html", rows=rows, whole=most, kind="layers", keys=GEMM, stall=False), lead)


def energy(result: Result) -> Section:
    """Joules of the step by what they are spent on."""
    known = result["energy"]
    bars = [("dense", known["dense_joules"]), (method_name(result), known["joules"])]
    rows = [
        {"name": name, "bars": [([_amount(key, joules[key], "J", joules["step"]) for key in ENERGY], si(joules["step"], "J"))]}
        for name, joules in (bars if result["sparse_stages"] else bars[1:])
    ]
    lead = (
        f"Counts of the program and of the accelerator's counters, times {known['source']}, without leakage and clocks:"
        f" {known['images_per_joule']:,.1f} images and {known['effective_gops_per_watt']:,.0f} effective G operations a joule."
    )
    columns = [
        Column("what", "sparse step", "what is counted"),
        Column("count", "count", "", grouped),
        Column("table", "line", "of the table"),
        Column("each", "each", "pJ", lambda each: f"{1e12 * each:.3g}"),
        Column("joules", "energy", "J", lambda energy: f"{energy:.3g}"),
    ]
    whole = max(joules["step"] for _, joules in bars)
    body = fill("bars.html", rows=rows, whole=whole, kind="step", keys=list(ENERGY), stall=False)
    return Section("Energy, by a table", body + table(columns, known["terms"], caption="What joules are spent on"), lead)


def validation(result: Result) -> Section:
    """Parts of the program that were played on the RTL."""
    found = result["validated"]
    columns = [
        Column("name", "layer"),
        Column("stage", "stage", write=NAMES.__getitem__),
        Column("samples", "samples", "", grouped),
        Column("rtl_cycles", "RTL", "cycles", grouped),
        Column("model_cycles", "machine", "cycles", grouped),
        Column("words_different", "different", "words", grouped),
    ]
    rows = [row | {"flag": bool(row["words_different"] or row["rtl_cycles"] != row["model_cycles"])} for row in found["layers"]]
    lead = (
        f"{found['samples']} parts of this very program, cut to a few tiles, on the RTL with random numbers:"
        f" {grouped(found['words_different'])} of {grouped(found['words_compared'])} words differ from NumPy's;"
        f" {grouped(found['rtl_cycles'])} cycles on the RTL, {grouped(found['model_cycles'])} on the machine."
    )
    return Section("The RTL beside its models", table(columns, rows, caption="Parts of the program on the RTL"), lead)


def layer_table(result: Result) -> Section:
    """All products as a table."""
    columns = [
        Column("name", "layer"),
        Column("stage", "stage", write=NAMES.__getitem__),
        Column("ratio", "kept"),
        Column("m", "m", "rows", grouped),
        Column("n", "n", "columns", grouped),
        Column("k", "k", "terms", grouped),
        Column("macs", "MACs", "useful", grouped),
        Column("cycles", "cycles", "with stalls", grouped),
        Column("dense_cycles", "dense", "cycles", grouped),
        Column("operand_stall_cycles", "await operands", "cycles", grouped),
        Column("memory_stall_cycles", "await stores", "cycles", grouped),
        Column("memory_bytes", "traffic", "MB", lambda size: f"{size / 1e6:,.1f}"),
        Column("utilization", "utilised", "%", lambda share: f"{100 * share:.1f}"),
    ]
    body = table(columns, result["layers"], caption="Every layer's products with their cycles")
    return Section("Every product", body, "Click a heading to sort.")


def method_name(result: Result) -> str:
    """What a result is called beside dense training."""
    return f"{result['method']} {result['ratio']}" if result["sparse_stages"] else str(result["method"])


def _by_layer(result: Result) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows by layer in the order of the forward pass, then by stage."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["layers"]:
        found.setdefault(row["name"], {})[row["stage"]] = row
    return found


def _segment(key: str, value: int, whole: int = 0, *, stall: bool = False) -> dict[str, Any]:
    share = f", {percent(value / whole)}" if whole else ""
    text = f"{NAMES[key]}{', filling, draining, waiting for memory' if stall else ''}: {si(value)} cycles{share}"
    label = f"{100 * value / whole:.0f}\xa0%" if whole and value > 0.06 * whole else ""
    return {"key": key, "value": value, "text": text, "label": label, "stall": stall}


def _amount(key: str, value: float, unit: str, whole: float = 0) -> dict[str, Any]:
    """A segment in another unit than cycles."""
    name = (NAMES | ENERGY_NAMES)[key]
    label = f"{100 * value / whole:.0f}\xa0%" if whole and value > 0.06 * whole else ""
    return {"key": key, "value": value, "text": f"{name}: {si(value, unit)}", "label": label, "stall": False}


def _with_stall(row: dict[str, Any]) -> list[dict[str, Any]]:
    key = row["stage"]
    return [_segment(key, row["compute_cycles"]), _segment(key, row["cycles"] - row["compute_cycles"], stall=True)]


def _cell(name: str, row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"value": row["utilization"], "text": f"{name}, {NAMES[row['stage']]}: {percent(row['utilization'])}"}


def _point(row: dict[str, Any], prefix: str, bytes_per_cycle: float, *, hollow: bool = False) -> Point:
    x, y = roofline_position(row, prefix, bytes_per_cycle)
    text = f"{row['name']}, {NAMES[row['stage']]}{', dense' if hollow else ''}: {y:.0f} MACs a cycle"
    return Point(x, y, STAGES[row["stage"]], text, hollow)
