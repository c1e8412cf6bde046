"""`Neurons`: a population of neurons of any type. The arithmetic is not here, but in `lava_aug.core.neurons`."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import STATE_BITS, is_array, signed_range
from lava_aug.core.neurons import Neuron, Shape, State, Step
from lava_aug.core.spec import Numbers, is_a, is_int
from lava_aug.processes.base import Model, Process, checked_shape


class NeuronModel(Model):
    """Receive, step, send."""

    s_out: Any
    v_out: Any
    overflow_out: Any
    v: Any
    saturated: Any
    capped: Any
    n: Any = np.zeros((), np.int64)
    bias: Any = np.zeros((), np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.neuron: Neuron = proc_params["neuron"]
        self.interval: int | None = proc_params["reset_interval"]
        self.offset: int = proc_params["reset_offset"]
        self.t = 0

    def run_spk(self) -> None:
        """One time step: reset if a window starts, integrate, fire, send."""
        currents = [getattr(self, f"{port}_in").recv() for port in self.neuron.ports]
        if self.interval is not None and self.time_step % self.interval == self.offset % self.interval:
            self.reset()
        advance: Callable[..., Step] = self.specification().step  # it takes one current for each port
        step = advance(State(self.v, self.n, self.t), *currents, self.bias)
        self.keep(step.state)
        capped = 0 if step.capped is None else np.count_nonzero(step.capped)
        overflow = np.array([np.count_nonzero(step.saturated), capped], np.int32)
        self.saturated += overflow[0]
        self.capped += overflow[1]
        self.send(step.s)
        self.overflow_out.send(overflow)

    def specification(self) -> Neuron:
        """The neuron, with what has been set through Vars."""
        known = {name: getattr(self.neuron, name) for name in self.neuron.settable}
        if any(np.any(getattr(self, name) != value) for name, value in known.items()):
            self.neuron = self.neuron.replace(**{name: self._current(name, value) for name, value in known.items()})
        return self.neuron

    def _current(self, name: str, known: Any) -> Any:
        """What a Var holds, as the neuron has it: an array, or one number."""
        value = getattr(self, name)
        return value if is_array(known) else value.item()

    def reset(self) -> None:
        """Start a window."""
        for variable in self.specification().variables:
            getattr(self, variable.name)[:] = variable.initial
        self.t = 0

    def keep(self, state: State) -> None:
        """Store the state in the Vars."""
        for variable in self.neuron.variables:
            getattr(self, variable.name)[:] = getattr(state, variable.name)
        self.t = state.t

    def send(self, s: NDArray[Any]) -> None:
        """Tell the next layer what was fired; a readout tells its potential."""
        port, sent = (self.s_out, s) if self.neuron.fires else (self.v_out, self.v)
        port.send(sent)


class Neurons(Process):
    """A population of neurons of any type, with the ports and Vars that the type declares.

    In every time step it receives its input current, computes the neuron's `step`, and sends what was fired.
    `AugmentedIF`, `DoubleThresholdIF`, `IntegrateFire`, `MaxPool` and `Readout` are the same for one type each.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    neuron : Neuron
        Type and parameters (`lava_aug.core.neurons`). Those that are arrays broadcast to ``shape``.
    bias : int, float or array
        Added to ``v`` in every step; 24-bit integers, unless the neuron is floating-point; broadcasts to ``shape``.
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
    neuron : Neuron
        Type and parameters.
    graded : bool
        Whether it sends more than ones: Lava's Dense and Conv then need ``num_message_bits``.
    a_in : InPort
        Input current, ``shape``; one such port for each of ``neuron.ports``. 64-bit integers, or floats.
    s_out : OutPort
        Spike coefficients, ``neuron.output_shape(shape)``: 32-bit integers, or floats. Not for neurons that never fire.
    v_out : OutPort
        ``v`` after the step, ``shape``. Only for neurons that never fire.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and how many spikes were cut to the payload's width, in
        this step.
    v : Var
        Membrane potential, ``shape``. It has, as ``n``, the width that ``neuron.variables`` declares.
    n : Var
        Sum of the coefficients since the last reset, of the shape of `s_out`. Not for neurons that never fire.
    bias : Var
        Bias, ``shape``. Not for neurons that take none.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or the shapes do not fit each other.

    Notes
    -----
    Each of ``neuron.settable`` is a Var as well, of the shape of the parameter, ``(1,)`` if it is a number. Setting one
    takes effect in the next time step, that of ``v0`` at the next reset. A neuron whose parameters are integers runs
    with ``Loihi2SimCfg(select_tag="fixed_pt")``, one of floats with ``"floating_pt"``.

    Examples
    --------
    >>> from lava_aug.core.neurons import AugmentedNeuron
    >>> from lava_aug.testing import run_process
    >>> run_process(Neurons((2,), AugmentedNeuron(vth=10)), a_in=[[37, 5], [-40, 12]]).s_out.tolist()
    [[4, 1], [-4, 1]]
    """

    behaviour = NeuronModel
    types = {"overflow_out": np.int32, "saturated": np.int64, "capped": np.int64}  # noqa: RUF012

    a_in: InPort
    s_out: OutPort
    v_out: OutPort
    v: Var
    n: Var
    bias: Var

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        neuron = options.get("neuron", arguments[1] if len(arguments) > 1 else None)
        own: Any = own_class(type(neuron)) if cls is Neurons and isinstance(neuron, Neuron) else cls
        return object.__new__(own)

    def __init__(
        self,
        shape: Shape,
        neuron: Neuron,
        bias: Numbers | list[Any] = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        shape = checked_shape(self, shape)
        if not is_a(neuron, Neuron):
            raise SpecError(f"{type(self).__name__}: expected a lava_aug.core.neurons.Neuron, found {neuron!r}")
        sent = neuron.output_shape(shape)
        _check_reset(reset_interval, reset_offset)
        biases = _broadcast_bias(bias, shape, neuron)
        window = {"reset_interval": reset_interval, "reset_offset": reset_offset}
        super().__init__(shape=shape, neuron=neuron, name=name, log_config=log_config, **window)
        self.neuron = neuron
        self.floats = repr(neuron) if neuron.is_float else None
        self.graded = not neuron.fires or neuron.coefficient_range != (0, 1)
        self._add_ports(shape, sent)
        self._add_vars(shape, sent, biases)

    def _add_ports(self, shape: Shape, sent: Shape) -> None:
        for port in self.neuron.ports:
            setattr(self, f"{port}_in", InPort(shape=shape))
        if self.neuron.fires:
            self.s_out = OutPort(shape=sent)
        else:
            self.v_out = OutPort(shape=shape)
        self.overflow_out = OutPort(shape=(2,))

    def _add_vars(self, shape: Shape, sent: Shape, biases: NDArray[Any]) -> None:
        variables = self.neuron.variables
        for variable in variables:
            setattr(self, variable.name, Var(shape=sent if variable.name == "n" else shape, init=variable.initial))
        for parameter in self.neuron.settable:
            value = getattr(self.neuron, parameter)
            setattr(self, parameter, Var(shape=np.shape(value) or (1,), init=value))
        if self.neuron.takes_bias:
            self.bias = Var(shape=shape, init=biases)
        self.saturated = Var(shape=(1,), init=0)
        self.capped = Var(shape=(1,), init=0)
        parameters = dict.fromkeys((*self.neuron.settable, "bias"), STATE_BITS)
        self.precisions = {**parameters, **{variable.name: variable.bits for variable in variables}}


@functools.cache
def own_class(neuron: type[Neuron]) -> type[Neurons]:
    """The class of `Neurons` of one type: Lava knows ProcessModels by the class of their Process."""
    made: Any = type(Neurons)
    return made(f"Neurons[{neuron.__name__}]", (Neurons,), {"__module__": __name__, "__doc__": Neurons.__doc__})


def _check_reset(interval: Any, offset: Any) -> None:
    if interval is not None and (not is_int(interval) or interval < 1):
        raise SpecError(f"reset_interval: expected an integer of at least 1 or None, found {interval!r}")
    if not is_int(offset) or offset < 0:
        raise SpecError(f"reset_offset: expected an integer of at least 0, found {offset!r}")


def _broadcast_bias(bias: Numbers | list[Any], shape: Shape, neuron: Neuron) -> NDArray[Any]:
    biases = np.asarray(bias)
    if not neuron.takes_bias and biases.any():
        raise SpecError(f"bias: {neuron.type_name} neurons take none, found {bias!r}")
    low, high = signed_range(STATE_BITS)
    if not neuron.is_float and (biases.dtype.kind not in "iu" or biases.min() < low or biases.max() > high):
        raise SpecError(f"bias: expected integers from {low} to {high}, as the neuron is fixed-point, found {bias!r}")
    try:
        return np.broadcast_to(biases, shape).copy()
    except ValueError:
        raise SpecError(f"bias: expected a shape that broadcasts to {shape}, found {biases.shape}") from None
