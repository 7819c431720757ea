"""The multiply-accumulate of a USPE: forms of operands and sums within the array, and the cores that compute in them.

::

    operand (storage format) ─► Normalise ─► weight, activation ─┐
                                                                 ├─► core ─► sum ─► Pack ─► binary32
    partial sum (binary32) ───► Unpack ────► sum so far ─────────┘

    forms     what operands and sums look like between the array's edges
    edges     Normalise, Unpack, Pack
    exact     the core where products are exact in binary32, in plain logic
    dsp_core  the same in DSP48E2 of UltraScale+ devices, bit for bit and step for step
    dsp48e2   instances and simulation models of those
    rounded   the core where they are not: IEEE multiplication and addition, on numbers as they are stored
"""

from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.cores import DSP48E2
from hw.formats import has_exact_products
from hw.mac.dsp_core import Dsp48e2Mac
from hw.mac.exact import ExactMac
from hw.mac.rounded import RoundedMac


def core_of(config: AcceleratorConfig) -> type[wiring.Component]:
    """The core for this configuration."""
    if config.uspe_core == DSP48E2:
        return Dsp48e2Mac
    return ExactMac if has_exact_products(config.storage_format) else RoundedMac
