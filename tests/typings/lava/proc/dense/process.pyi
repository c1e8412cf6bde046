from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

class Dense(AbstractProcess):
    s_in: InPort
    a_out: OutPort
    weights: Var
    num_message_bits: Var
    def __init__(self, **parameters: Any) -> None: ...

class DelayDense(Dense):
    delays: Var
