"""The DSP48E2 of AMD's UltraScale+ devices, and what else of them is instantiated.

``primitives.v`` beside this file has simulation models. Names of ports and parameters are those of AMD UG579.
"""

from collections.abc import Mapping
from pathlib import Path

from amaranth.hdl import ClockSignal, Const, Instance, Signal, Value, ValueLike

MODELS = Path(__file__).with_name("primitives.v")
"""Verilog of the primitives for simulators: of DSP48E2, as much as is used here."""

X_Y_PRODUCT = 0b0101
"""OPMODE[3:0]: the product is added."""

Z_PCIN, Z_C, Z_PCIN_SHIFTED = 0b001, 0b011, 0b101
"""OPMODE[6:4]: what it is added to; the last is PCIN moved right by 17 places."""

W_RND = 0b10
"""OPMODE[8:7]: and what else."""

NEGATED = 0b11
"""ALUMODE: Z - (W + X + Y)."""

WIDTH, A_WIDTH, B_WIDTH, D_WIDTH = 48, 30, 18, 27

_REGISTERS = ("AREG", "BREG", "CREG", "DREG", "ADREG", "MREG", "PREG", "INMODEREG", "OPMODEREG", "ALUMODEREG")
_ENABLES = ("A2", "B1", "B2", "C", "D", "AD", "M", "P", "INMODE", "CTRL", "ALUMODE")
_TIED = (
    *("CARRYIN", "CARRYINSEL", "CEA1", "CECARRYIN"),
    *("RSTA", "RSTB", "RSTC", "RSTD", "RSTM", "RSTINMODE", "RSTCTRL", "RSTALUMODE", "RSTALLCARRYIN"),
)


def dsp48e2(
    en: ValueLike,
    registers: Mapping[str, int],
    outputs: Mapping[str, Value],
    *,
    sticky_bits: int = 0,
    half: int = 0,
    preadder: bool = False,
    **inputs: ValueLike,
) -> Instance:
    """An instance.

    Parameters
    ----------
    en : 1
        Clock enable of all registers, but for those that `inputs` names.
    registers : mapping of str to int
        How many registers there are at A, B, D …, by parameter (``AREG``); none where nothing is said.
    outputs : mapping of str to Value
        Ports P, PCOUT or PATTERNDETECT, those that are used.
    sticky_bits : int
        PATTERNDETECT says that so many of P's lowest bits are zero.
    half : int
        The constant RND.
    preadder : bool
        The multiplier takes A + D, as INMODE says, instead of A.
    inputs : ValueLike
        Other ports; those that are not named are 0.
    """
    lengths = dict.fromkeys(_REGISTERS, 0) | dict(registers)
    parameters = {
        **lengths,
        "ACASCREG": lengths["AREG"],
        "BCASCREG": lengths["BREG"],
        "AMULTSEL": "AD" if preadder else "A",
        "USE_PATTERN_DETECT": "PATDET" if sticky_bits else "NO_PATDET",
        "MASK": Const((1 << WIDTH) - (1 << sticky_bits), WIDTH),
        "RND": Const(half, WIDTH),
    }
    enables = {f"CE{name}": en for name in _ENABLES}
    idle: dict[str, ValueLike] = {
        **dict.fromkeys(_TIED, 0),
        **{"A": Const(0, A_WIDTH), "B": Const(0, B_WIDTH), "C": Const(0, WIDTH), "D": Const(0, D_WIDTH)},
        **{"PCIN": Const(0, WIDTH), "CARRYINSEL": Const(0, 3), "RSTP": 0},
        **{"INMODE": Const(0, 5), "OPMODE": Const(X_Y_PRODUCT, 9), "ALUMODE": Const(0, 4)},
    }
    unused = {"P": Signal(WIDTH), "PCOUT": Signal(WIDTH), "PATTERNDETECT": Signal()}
    return Instance(
        "DSP48E2",
        **{f"p_{name}": value for name, value in parameters.items()},
        **{f"i_{name}": value for name, value in (idle | enables | inputs).items()},
        **{f"o_{name}": value for name, value in (unused | dict(outputs)).items()},
        i_CLK=ClockSignal(),
    )
