"""`ImageSource`, which presents images, and `Recorder` and `Probe`, which keep what arrives in shared memory."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import PORT_BITS, signed_range
from lava_aug.processes.base import Model, Process
from lava_aug.simulation.pipeline import Recording, Tape


class ImageSourceModel(Model):
    """Finds the image of the time step and sends it."""

    s_out: Any
    index: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.images: NDArray[Any] = proc_params["images"]
        self.num_steps: int = proc_params["num_steps"]
        self.current: NDArray[Any] = np.zeros(self.images.shape[1:], self.format.payload)

    def run_spk(self) -> None:
        """Send the current image; Lava counts time steps from 1."""
        index, step = divmod(self.time_step - 1, self.num_steps)
        if step == 0:
            more = index < len(self.images)
            self.index[:] = index if more else len(self.images)
            self.current[:] = self.images[index] if more else 0
        self.s_out.send(self.current)


class ImageSource(Process):
    """Sends each image as graded spikes for ``num_steps`` time steps, then the next; after the last, zeros.

    Parameters
    ----------
    images : array, shape (num_images, *shape)
        Payloads; integers up to 32 bits, or floats for floating-point networks.
    num_steps : int
        Time steps per image.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_out : OutPort
        The image's payloads, ``shape``: integers of 32 bits, or floats.
    index : Var
        ``(1,)``: index of the image that is presented; ``num_images`` after the last.

    Raises
    ------
    SpecError
        If there is no image, a payload does not fit into 32 bits, or ``num_steps`` is not positive.
    """

    behaviour = ImageSourceModel
    types = {"index": np.int64}  # noqa: RUF012

    def __init__(
        self,
        *,
        images: NDArray[Any] | list[Any],
        num_steps: int,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        payloads = np.asarray(images)
        _check(payloads, num_steps)
        super().__init__(images=payloads, num_steps=num_steps, name=name, log_config=log_config)
        self.floats = "an image" if payloads.dtype.kind == "f" else None
        self.s_out = OutPort(shape=payloads.shape[1:])
        self.index = Var(shape=(1,), init=0)


def _check(images: NDArray[Any], num_steps: Any) -> None:
    if images.ndim < 2 or not images.size or images.dtype.kind not in "iuf":
        raise SpecError(
            f"ImageSource: expected numbers of shape (num_images, *shape), found {images.dtype} {images.shape}"
        )
    low, high = signed_range(PORT_BITS)
    smallest, largest = images.min(), images.max()
    if images.dtype.kind != "f" and (smallest < low or largest > high):
        raise SpecError(f"ImageSource: expected payloads from {low} to {high}, found {smallest} to {largest}")
    if not isinstance(num_steps, int) or num_steps < 1:
        raise SpecError(f"ImageSource: num_steps must be an integer of at least 1, found {num_steps!r}")


class RecorderModel(Model):
    """Receives and notes."""

    s_in: Any
    overflow_in: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.recording: Recording = proc_params["recording"]

    def run_spk(self) -> None:
        """Lava counts time steps from 1, recordings from 0."""
        self.recording.note(self.time_step - 1, self.s_in.recv(), self.overflow_in.recv())


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
        Spike coefficients or potentials, ``recording.shape``: integers of 32 bits, or floats.
    overflow_in : InPort
        ``(2,)``, from a neuron's ``overflow_out``. Unconnected it reads zeros.
    """

    behaviour = RecorderModel
    types = {"overflow_in": np.int32}  # noqa: RUF012
    optional_ports = ("overflow_in",)
    """Ports that may stay unconnected without a warning."""

    def __init__(self, *, recording: Recording, name: str | None = None, log_config: LogConfig | None = None) -> None:
        super().__init__(recording=recording, name=name, log_config=log_config)
        self.s_in = InPort(shape=recording.shape)
        self.overflow_in = InPort(shape=(2,))


class ProbeModel(Model):
    """Receives and notes."""

    s_in: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.tape: Tape = proc_params["tape"]

    def run_spk(self) -> None:
        """Lava counts time steps from 1, tapes from 0."""
        self.tape.note(self.time_step - 1, self.s_in.recv())


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
        What is to be noted, ``tape.shape``: any numbers, whatever the tag.
    """

    behaviour = ProbeModel
    # Lava adds what arrives to zeros of this type: those of bool change no number's type.
    types = {"s_in": bool}  # noqa: RUF012

    def __init__(self, *, tape: Tape, name: str | None = None, log_config: LogConfig | None = None) -> None:
        super().__init__(tape=tape, name=name, log_config=log_config)
        self.s_in = InPort(shape=tape.shape)
