"""What a USPE can multiply and add with (plain Python)."""

from hw.formats import FORMATS, has_exact_products
from hw.inputs import shown

GENERIC, DSP48E2 = "generic", "dsp48e2"
CORES = (GENERIC, DSP48E2)

LATENCIES = {"multiply_latency_cycles": 2, "add_latency_cycles": 4}
"""Of the core of DSP48E2, whose registers are where those blocks have them."""


def check_core(core: str, storage: str, **latencies: int) -> None:
    """Raise `ValueError` unless the core can do the storage format and the latencies; what is wrong comes first."""
    if core not in CORES:
        raise ValueError(f"uspe_core must be {' or '.join(CORES)}, not {shown(core)}")
    if core == GENERIC:
        return
    exact = [name for name, known in FORMATS.items() if known.width <= 16 and has_exact_products(known)]
    if storage not in exact:
        raise ValueError(f"storage must be one of {', '.join(exact)} with uspe_core {core}, not {shown(storage)}")
    for field, cycles in LATENCIES.items():
        if latencies[field] != cycles:
            raise ValueError(f"{field} must be {cycles} with uspe_core {core}, not {latencies[field]}")
