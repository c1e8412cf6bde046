"""Synapses of any layer type: spikes in, input current out, one or more time steps later."""

from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.spec import is_a, is_int
from lava_aug.kernels.samples import SampleKernel
from lava_aug.processes.base import Model, Process, checked_shape
from lava_aug.simulation.pipeline import DelayLine


class SynapsesModel(Model):
    """Send what was added up in the last step, or ``delay`` steps before that, then add up: BLAS, exact on integers."""

    s_in: Any
    a_out: Any
    a_buf: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        synapse, shape = proc_params["synapse"], proc_params["shape"]
        self.kernel = SampleKernel(synapse, shape)
        self.line = DelayLine(synapse.output_shape(shape), proc_params["delay"])

    def run_spk(self) -> None:
        """The current of the last step goes out before spikes come in, so that loops cannot block."""
        self.a_out.send(self.a_buf)
        a: NDArray[Any] = self.kernel(self.s_in.recv())
        self.a_buf[:] = self.line(a.copy() if self.line.delay else a)  # the kernel overwrites what it gave


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
        Spike coefficients, ``shape``: integers of 32 bits, or floats.
    a_out : OutPort
        Input current, ``synapse.output_shape(shape)``, in 64 bits: products of 8-bit weights and 16-bit payloads can
        add up to more than 32, and currents of several Synapses can cancel.
    a_buf : Var
        Current that will be sent in the next time step, of the shape of `a_out`.

    Raises
    ------
    SpecError
        If the synapse is not a `Synapse` or does not fit the shape, or the delay is not an integer of at least 0.
    """

    behaviour = SynapsesModel

    def __init__(
        self,
        *,
        synapse: Synapse,
        shape: Shape,
        delay: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not is_a(synapse, Synapse):
            raise SpecError(f"Synapses: expected a lava_aug.core.layers.Synapse, found {synapse!r}")
        if not is_int(delay) or delay < 0:
            raise SpecError(f"Synapses: delay must be an integer of at least 0, found {delay!r}")
        shape = checked_shape(self, shape)
        super().__init__(synapse=synapse, shape=shape, delay=int(delay), name=name, log_config=log_config)
        output = synapse.output_shape(shape)
        self.floats = type(synapse).__name__ if synapse.is_float else None
        self.s_in = InPort(shape=shape)
        self.a_out = OutPort(shape=output)
        self.a_buf = Var(shape=output, init=0)
