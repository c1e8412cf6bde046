"""ProcessModels of `IntegrateFire`: bit-exact fixed point, and floating point."""

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.processes.integrate_fire.process import IntegrateFire
from lava_aug.processes.neuron_process import FixedSpiking, FloatSpiking, SpikingModel


@implements(proc=IntegrateFire, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyIntegrateFireFixed(FixedSpiking, SpikingModel):
    """24-bit state, integer spike coefficients."""


@implements(proc=IntegrateFire, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyIntegrateFireFloat(FloatSpiking, SpikingModel):
    """Float state without saturation, spike coefficients in float ports."""
