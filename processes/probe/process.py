"""A sink that writes what it receives to a tape, whatever numbers they are."""

from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import LogConfig

from lava_aug.processes.base import Process
from lava_aug.simulation.recording import Tape


class Probe(Process):
    """Notes what one OutPort sends in every time step on a `Tape`.

    Parameters
    ----------
    tape : Tape
        Where to; it also says the shape.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_in : InPort
        What is to be noted, ``tape.shape``.
    """

    def __init__(self, *, tape: Tape, name: str | None = None, log_config: LogConfig | None = None) -> None:
        super().__init__(tape=tape, name=name, log_config=log_config)
        self.s_in = InPort(shape=tape.shape)
