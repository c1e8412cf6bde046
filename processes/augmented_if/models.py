"""ProcessModels of `AugmentedIF`: bit-exact fixed point, and floating point."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from lava_aug.core.fixed_point import STATE_BITS
from lava_aug.processes.augmented_if.process import AugmentedIF
from lava_aug.processes.neuron_process import FixedSpiking, FloatSpiking, SpikingModel


@implements(proc=AugmentedIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyAugmentedIFFixed(FixedSpiking, SpikingModel):
    """24-bit state, integer spike coefficients."""

    vth_lo: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=STATE_BITS)  # pyright: ignore


@implements(proc=AugmentedIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyAugmentedIFFloat(FloatSpiking, SpikingModel):
    """Float state without saturation, spike coefficients in float ports."""

    vth_lo: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
