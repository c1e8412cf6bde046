from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

class Conv(AbstractProcess):
    s_in: InPort
    a_out: OutPort
    weight: Var
    num_message_bits: Var
    def __init__(self, **parameters: Any) -> None: ...
