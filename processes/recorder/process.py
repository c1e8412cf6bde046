"""A sink that stores what it receives where the program that started Lava can read it."""

from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import LogConfig

from lava_aug.processes.base import Process
from lava_aug.simulation.recording import Recording


class Recorder(Process):
    """Writes spikes and overflow counts of every time step to a `Recording`.

    Reading a Var of Lava takes 12 microseconds per element; a `Recording` is in shared memory, which avoids this.

    Parameters
    ----------
    recording : Recording
        Where to write; it also defines the shape.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_in : InPort
        Spike coefficients or potentials, ``recording.shape``.
    overflow_in : InPort
        ``(2,)``, from a neuron's ``overflow_out``. Unconnected it reads zeros.
    """

    optional_ports = ("overflow_in",)
    """Ports that may stay unconnected without a warning."""

    def __init__(self, *, recording: Recording, name: str | None = None, log_config: LogConfig | None = None) -> None:
        super().__init__(recording=recording, name=name, log_config=log_config)
        self.s_in = InPort(shape=recording.shape)
        self.overflow_in = InPort(shape=(2,))
