"""What the neurons' Processes and ProcessModels share. The arithmetic is not here, but in `lava_aug.core.neurons`."""

from typing import Any, ClassVar

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import STATE_BITS, is_array, signed_range
from lava_aug.core.neurons import Neuron, State
from lava_aug.core.spec import is_int
from lava_aug.processes.base import Process, check_fixed, checked_shape


class NeuronProcess(Process):
    """A population of neurons that share one specification.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    neuron : Neuron, optional
        Its specification; by default made from the remaining keyword arguments, which are those of `spec`.
    bias : int, float or array
        Added to ``v`` in every step; broadcastable to ``shape``.
    reset_interval : int, optional
        Length of a window: ``v`` and ``n`` are reset at the start of every time step with
        ``time_step % reset_interval == reset_offset % reset_interval`` (Lava counts from 1), as in Lava's LIFReset.
        Default: never.
    reset_offset : int
        See there. A layer at depth d, d synapses behind the images, has its first window start in step d + 1.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    a_in : InPort
        Input current, ``shape``.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and how many spikes were cut to the payload's width, in
        this step.
    v : Var
        Membrane potential.
    bias : Var
        Bias.
    saturated, capped : Var
        Totals of what `overflow_out` reports, since the start.
    """

    spec: ClassVar[type[Neuron]]

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        neuron: Neuron | None = None,
        bias: Any = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
        **parameters: Any,
    ) -> None:
        shape = checked_shape(self, shape)
        neuron = self._specification(neuron, parameters)
        neuron.output_shape(shape)
        _check_reset(reset_interval, reset_offset)
        bias = _broadcast_bias(bias, shape, neuron)
        super().__init__(
            shape=shape,
            neuron=neuron,
            reset_interval=reset_interval,
            reset_offset=reset_offset,
            name=name,
            log_config=log_config,
        )
        self.neuron = neuron
        self.a_in = InPort(shape=shape)
        self.overflow_out = OutPort(shape=(2,))
        self.v = Var(shape=shape, init=neuron.initial()[0])
        self.bias = Var(shape=shape, init=bias)
        self.saturated = Var(shape=(1,), init=0)
        self.capped = Var(shape=(1,), init=0)

    def _specification(self, neuron: Neuron | None, parameters: dict[str, Any]) -> Neuron:
        if neuron is None:
            return self.spec(**parameters)
        if parameters:
            raise SpecError(f"{type(self).__name__}: give either a neuron or its parameters {sorted(parameters)}")
        if type(neuron) is not self.spec:
            raise SpecError(f"{type(self).__name__}: expected a {self.spec.__name__}, found {neuron!r}")
        return neuron


def _check_reset(interval: Any, offset: Any) -> None:
    if interval is not None and (not is_int(interval) or interval < 1):
        raise SpecError(f"reset_interval: expected an integer of at least 1 or None, found {interval!r}")
    if not is_int(offset) or offset < 0:
        raise SpecError(f"reset_offset: expected an integer of at least 0, found {offset!r}")


def _broadcast_bias(bias: Any, shape: tuple[int, ...], neuron: Neuron) -> NDArray[Any]:
    found = np.asarray(bias)
    if not neuron.takes_bias and found.any():
        raise SpecError(f"bias: {neuron.type_name} neurons take none, found {bias!r}")
    low, high = signed_range(STATE_BITS)
    if not neuron.is_float and (found.dtype.kind not in "iu" or found.min() < low or found.max() > high):
        raise SpecError(f"bias: expected integers from {low} to {high}, as the neuron is fixed-point, found {bias!r}")
    try:
        return np.broadcast_to(found, shape).copy()
    except ValueError:
        raise SpecError(f"bias: expected a shape that broadcasts to {shape}, found {found.shape}") from None


class SpikingProcess(NeuronProcess):
    """A `NeuronProcess` that fires.

    Attributes
    ----------
    s_out : OutPort
        Spike coefficients, ``neuron.output_shape(shape)``: ``shape``, unless the neuron pools.
    n : Var
        Sum of the coefficients since the last reset.
    vth, v0, vth_lo : Var
        Threshold, potential after a reset and, where the neuron has one, lower threshold: of the shape of the
        parameter, ``(1,)`` if it is a number. Changing them takes effect in the next time step, `v0` at the next reset.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        shape = self.neuron.output_shape(self.a_in.shape)
        self.s_out = OutPort(shape=shape)
        self.n = Var(shape=shape, init=0)
        for parameter in self.neuron.settable:
            value = getattr(self.neuron, parameter)
            setattr(self, parameter, Var(shape=np.shape(value) or (1,), init=value))


class NeuronModel(PyLoihiProcessModel):
    """Receive, step, send: what all ProcessModels of neurons do, in either number format."""

    a_in: Any = None
    overflow_out: Any = None
    v: Any = None
    bias: Any = None
    saturated: Any = None
    capped: Any = None
    wide: ClassVar[type]

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.neuron: Neuron = proc_params["neuron"]
        self.interval: int | None = proc_params["reset_interval"]
        self.offset: int = proc_params["reset_offset"]
        self.t = 0
        if self.wide is np.int64:
            check_fixed(repr(self.neuron), self.neuron.is_float)

    def run_spk(self) -> None:
        """One time step: reset if a window starts, integrate, fire, send."""
        a = self.a_in.recv()
        if self.interval is not None and self.time_step % self.interval == self.offset % self.interval:
            self.reset()
        step = self.specification().step(self.state(), a.astype(self.wide), self.bias.astype(self.wide))
        self.keep(step.state)
        capped = 0 if step.capped is None else np.count_nonzero(step.capped)
        overflow = np.array([np.count_nonzero(step.saturated), capped], np.int32)
        self.saturated += overflow[0]
        self.capped += overflow[1]
        self.send(step.s)
        self.overflow_out.send(overflow)

    def specification(self) -> Neuron:
        """The neuron, with what has been set through Vars."""
        return self.neuron

    def reset(self) -> None:
        """Start a window."""
        self.v[:] = self.specification().initial()[0]
        self.t = 0

    def state(self) -> State:
        """The state in a format wide enough for one step."""
        return State(self.v.astype(self.wide), np.zeros((), self.wide), self.t)

    def keep(self, state: State) -> None:
        """Store the state back."""
        self.v[:] = state.v
        self.t = state.t

    def send(self, s: NDArray[Any]) -> None:
        """Send what the neuron tells the next one."""
        raise NotImplementedError


class SpikingModel(NeuronModel):
    """`NeuronModel` of a `SpikingProcess`."""

    s_out: Any = None
    n: Any = None
    vth: Any = None
    v0: Any = None
    vth_lo: Any = None

    def specification(self) -> Neuron:
        known = {name: getattr(self.neuron, name) for name in self.neuron.settable}
        if any(np.any(getattr(self, name) != value) for name, value in known.items()):
            self.neuron = self.neuron.replace(**{name: self._current(name, value) for name, value in known.items()})
        return self.neuron

    def _current(self, name: str, known: Any) -> Any:
        """What a Var holds, as the neuron has it: an array, or one number."""
        found = getattr(self, name)
        return found if is_array(known) else found.item()

    def reset(self) -> None:
        super().reset()
        self.n[:] = 0

    def state(self) -> State:
        return State(self.v.astype(self.wide), self.n.astype(self.wide), self.t)

    def keep(self, state: State) -> None:
        super().keep(state)
        self.n[:] = state.n

    def send(self, s: NDArray[Any]) -> None:
        self.s_out.send(s.astype(self.v.dtype))


class FixedNeuron:
    """Port and Var types of fixed-point models; mixed in before `NeuronModel`.

    Lava adds up what several Synapses send in the number format of ``a_in``: 64 bits, which cannot wrap.
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)  # pyright: ignore
    overflow_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore
    v: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=STATE_BITS)  # pyright: ignore
    bias: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=STATE_BITS)  # pyright: ignore
    saturated: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore
    capped: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore
    wide = np.int64


class FixedSender(FixedNeuron):
    """The same for neurons that fire."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=STATE_BITS)  # pyright: ignore
    n: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore


class FixedSpiking(FixedSender):
    """The same for neurons with a threshold."""

    vth: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=STATE_BITS)  # pyright: ignore
    v0: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=STATE_BITS)  # pyright: ignore


class FloatNeuron:
    """Port and Var types of floating-point models; mixed in before `NeuronModel`."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)  # pyright: ignore
    overflow_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore
    v: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
    bias: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
    saturated: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore
    capped: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore
    wide = np.float64


class FloatSender(FloatNeuron):
    """The same for neurons that fire."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore
    n: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore


class FloatSpiking(FloatSender):
    """The same for neurons with a threshold."""

    vth: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
    v0: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
