"""ProcessModels of `MaxPool`: bit-exact fixed point, and floating point."""

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.processes.max_pool.process import MaxPool
from lava_aug.processes.neuron_process import FixedSender, FloatSender, SpikingModel


@implements(proc=MaxPool, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMaxPoolFixed(FixedSender, SpikingModel):
    """24-bit running sums, integer spike coefficients."""


@implements(proc=MaxPool, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyMaxPoolFloat(FloatSender, SpikingModel):
    """Float running sums without saturation, spike coefficients in float ports."""
