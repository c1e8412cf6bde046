from typing import Any

from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from numpy.typing import NDArray

class AbstractPyDenseModel(PyLoihiProcessModel):
    s_in: PyInPort
    a_out: PyOutPort
    a_buff: NDArray[Any]
    weights: NDArray[Any]
    num_message_bits: NDArray[Any]

class AbstractPyDenseModelFloat(AbstractPyDenseModel): ...

class AbstractPyDenseModelBitAcc(AbstractPyDenseModel):
    num_weight_bits: NDArray[Any]
    weights_set: bool

class PyDenseModelFloat(AbstractPyDenseModelFloat): ...
class PyDenseModelBitAcc(AbstractPyDenseModelBitAcc): ...

class PyDelayDenseModelBitAcc(AbstractPyDenseModelBitAcc):
    delays: NDArray[Any]
    def calc_act(self, s_in: NDArray[Any]) -> NDArray[Any]: ...
