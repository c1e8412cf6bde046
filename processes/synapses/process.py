"""Synapses of any layer type: spikes in, input current out, one or more time steps later."""

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Synapse
from lava_aug.core.spec import is_int
from lava_aug.processes.base import Process, checked_shape


class Synapses(Process):
    """``a_out(t + 1 + delay) = synapse.accumulate(s_in(t))``, and zeros before.

    Without a delay that is one step, as in Lava's own Dense and Conv. Axes are PyTorch's: a map is (channels, height,
    width).

    Parameters
    ----------
    synapse : Synapse
        How the spikes are summed (`lava_aug.core.layers`).
    shape : tuple of int
        Shape of the spikes.
    delay : int
        Additional delay in time steps, for the shorter paths where paths of different lengths meet.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_in : InPort
        Spike coefficients, ``shape``.
    a_out : OutPort
        Input current, ``synapse.output_shape(shape)``, in 64 bits: products of 8-bit weights and 16-bit payloads can
        add up to more than 32, and currents of several Synapses can cancel.
    a_buf : Var
        Current that will be sent in the next time step.

    Raises
    ------
    SpecError
        If the synapse is not a `Synapse` or does not fit the shape, or the delay is not an integer of at least 0.
    """

    def __init__(
        self,
        *,
        synapse: Synapse,
        shape: tuple[int, ...],
        delay: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not isinstance(synapse, Synapse):
            raise SpecError(f"Synapses: expected a lava_aug.core.layers.Synapse, found {synapse!r}")
        if not is_int(delay) or delay < 0:
            raise SpecError(f"Synapses: delay must be an integer of at least 0, found {delay!r}")
        shape = checked_shape(self, shape)
        super().__init__(synapse=synapse, shape=shape, delay=int(delay), name=name, log_config=log_config)
        output = synapse.output_shape(shape)
        self.s_in = InPort(shape=shape)
        self.a_out = OutPort(shape=output)
        self.a_buf = Var(shape=output, init=0)
