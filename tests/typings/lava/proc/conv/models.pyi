from typing import Any

from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from numpy.typing import NDArray

class AbstractPyConvModel(PyLoihiProcessModel):
    s_in: PyInPort
    a_out: PyOutPort
    a_buf: NDArray[Any]
    weight: NDArray[Any]
    stride: NDArray[Any]
    padding: NDArray[Any]
    dilation: NDArray[Any]
    groups: NDArray[Any]
    num_message_bits: NDArray[Any]
    def clamp_precision(self, x: NDArray[Any]) -> NDArray[Any]: ...

class PyConvModelFixed(AbstractPyConvModel): ...
class PyConvModelFloat(AbstractPyConvModel): ...
