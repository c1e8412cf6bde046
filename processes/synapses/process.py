"""Synapses of any layer type: spikes in, input current out, one time step later."""

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var

from lava_aug.errors import SpecError
from lava_aug.layers import Synapse
from lava_aug.processes.base import Process


class Synapses(Process):
    """``a_out(t + 1) = synapse.accumulate(s_in(t))``, as in Lava's own Dense and Conv.

    Axes are PyTorch's: a map is (channels, height, width).

    Parameters
    ----------
    synapse : Synapse
        What adds up the spikes (`lava_aug.layers`).
    shape : tuple of int
        Shape of the spikes.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_in : InPort
        Spike coefficients, ``shape``.
    a_out : OutPort
        Input current, ``synapse.output_shape(shape)``, in 64 bits: 8-bit weights and 16-bit payloads can make more than
        32, and currents of several Synapses can cancel.
    a_buf : Var
        Current that will be sent in the next time step.
    """

    def __init__(
        self,
        *,
        synapse: Synapse,
        shape: tuple[int, ...],
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not isinstance(synapse, Synapse):
            raise SpecError(f"Synapses: expected a lava_aug.layers.Synapse, found {synapse!r}")
        super().__init__(synapse=synapse, shape=tuple(shape), name=name, log_config=log_config)
        output = synapse.output_shape(tuple(shape))
        self.s_in = InPort(shape=shape)
        self.a_out = OutPort(shape=output)
        self.a_buf = Var(shape=output, init=0)
