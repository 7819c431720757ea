"""Blocks whose arithmetic does not matter to a proof, cut out of the design around them."""

from amaranth.hdl import ResetInserter, Value

from hw.parts.modules import ModuleLibrary


class StandIns(ModuleLibrary):
    """The platform of a proof: places other components than the design says, by the name of the module.

    Each is a function without parameters that makes the component.
    """

    def __init__(self, **stand_ins):
        super().__init__()
        self.stand_ins = stand_ins

    def instantiate(self, m, make, module, name, reset):
        component = self.stand_ins.get(module, make)()
        m.submodules[name] = ResetInserter(Value.cast(reset))(component)
        return component
