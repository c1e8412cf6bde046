"""ProcessModels of `ImageSource`."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from lava_aug.processes.base import check_fixed
from lava_aug.processes.image_source.process import ImageSource


class ImageSourceModel(PyLoihiProcessModel):
    """Finds the image of the time step and sends it."""

    s_out: Any = None
    index: NDArray[Any] = LavaPyType(np.ndarray, np.int32)  # pyright: ignore
    dtype: type

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.images: NDArray[Any] = proc_params["images"]
        self.num_steps: int = proc_params["num_steps"]
        self.current = np.zeros(self.images.shape[1:], self.dtype)

    def run_spk(self) -> None:
        """Send the current image; Lava counts time steps from 1."""
        index, step = divmod(self.time_step - 1, self.num_steps)
        if step == 0:
            more = index < len(self.images)
            self.index[:] = index if more else len(self.images)
            self.current[:] = self.images[index] if more else 0
        self.s_out.send(self.current)


@implements(proc=ImageSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyImageSourceFixed(ImageSourceModel):
    """Integer payloads."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore
    dtype = np.int32

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        check_fixed("ImageSource", self.images.dtype.kind == "f")


@implements(proc=ImageSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyImageSourceFloat(ImageSourceModel):
    """Float payloads."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore
    dtype = np.float64
