"""What every neuron has: parameters, initial state, and the one place where a time step is written.

`Neuron.step` is pure and works element by element, so it broadcasts over any leading batch axes. The simulator calls
it with torch tensors of shape ``(batch, *shape)``, the Lava ProcessModels with numpy arrays of shape ``shape``.

One time step, with input current ``a`` and bias ``b``::

    v = sat24(v + a + b)
    s = fire(v, n)                  # the only thing in which the neurons differ
    s = min(s, n_max * t - n)       # in step t of the window, if n is bounded
    v = v - s * vth                 # soft reset
    n = n + s                       # running sum of what was sent in this window
"""

from typing import ClassVar, NamedTuple

import numpy as np

from lava_aug.errors import SpecError
from lava_aug.fixed_point import Array, saturate
from lava_aug.spec import Numbers, Spec

Shape = tuple[int, ...]

NEURONS: dict[str, type["Neuron"]] = {}
"""Every neuron by the name of its type in files."""


class State(NamedTuple):
    """``v``: membrane potential; since the last reset, ``n``: sum of the spike coefficients, ``t``: number of steps."""

    v: Array
    n: Array
    t: int = 0


class Step(NamedTuple):
    """What one time step gave.

    Attributes
    ----------
    state : State
        The state after the step.
    s : array
        Spike coefficients sent, in the number format of ``v``.
    saturated : array of bool
        Where ``v`` was clipped to 24 bits.
    capped : array of bool or None
        Where the coefficient was cut to the payload's width; None for neurons that cannot exceed it.
    """

    state: State
    s: Array
    saturated: Array
    capped: Array | None


class Neuron(Spec):
    """Base of all neurons: integrates, asks `fire` for the spike coefficient, and resets softly."""

    type_name: ClassVar[str]
    fires: ClassVar[bool] = True
    """False for neurons that never send a spike (readouts)."""
    graded: ClassVar[bool] = False
    """True if a spike coefficient beyond -1, 0, 1 can occur."""
    takes_bias: ClassVar[bool] = True
    """False for neurons that must not have one."""

    @property
    def is_float(self) -> bool:
        """Whether this neuron computes in floating point, without saturation."""
        raise NotImplementedError

    @property
    def coefficient_limit(self) -> int:
        """Largest magnitude of a spike coefficient."""
        return 1

    def initial(self) -> tuple[Numbers, int]:
        """``(v, n)`` at the start of a window, broadcastable to the shape of the layer."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of what is sent, for input current of a shape; SpecError if the parameters do not broadcast to it."""
        for name, _ in self.declarations():
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and not broadcasts(value.shape, shape):
                raise SpecError(
                    f"{type(self).__name__}.{name}: expected a shape that broadcasts to {shape}, found {value.shape}"
                )
        return shape

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name + (" signed" if getattr(self, "signed", False) else "")

    def integrate(self, v: Array, a: Array, bias: Array) -> Array:
        """The potential before firing and saturation: ``v + a + b``."""
        return v + a + bias

    def fire(self, v: Array, n: Array) -> Array:
        """The spike coefficient before the bound on ``n`` and the payload's limit."""
        raise NotImplementedError

    def step(self, state: State, a: Array, bias: Array) -> Step:
        """One time step.

        Parameters
        ----------
        state : State
            ``v`` and ``n``, arrays of shape ``(..., *shape)`` and ``(..., *output_shape(shape))``.
        a : array
            Input current, shape ``(..., *shape)``, in units of ``v``.
        bias : array or number
            Bias, broadcastable to ``a``, in units of ``v`` per step.

        Returns
        -------
        Step
            New state and spikes; nothing is changed in place.
        """
        raw = self.integrate(state.v, a, bias)
        v = raw if self.is_float else saturate(raw)
        t = state.t + 1
        s, capped = self._limit(self._bounded(self.fire(v, state.n), state.n, t))
        return Step(State(self._rest(v, s), state.n + s, t), s, raw != v, capped)

    def _bounded(self, s: Array, n: Array, t: int) -> Array:
        """The coefficient that keeps ``n`` within its bound in step ``t``."""
        return s

    def _limit(self, wanted: Array) -> tuple[Array, Array | None]:
        if not self.graded:
            return wanted, None
        s = wanted.clip(-self.coefficient_limit, self.coefficient_limit)
        return s, s != wanted

    def _rest(self, v: Array, s: Array) -> Array:
        """The potential after firing."""
        return v


def broadcasts(small: Shape, large: Shape) -> bool:
    """Whether an array of shape ``small`` broadcasts to the shape ``large``."""
    padded = (1,) * (len(large) - len(small)) + small
    return len(padded) == len(large) and all(a in (1, b) for a, b in zip(padded, large, strict=True))


def initial_state(neuron: Neuron, shape: Shape) -> State:
    """A numpy state for input current of a shape at the start of a window: int64, or float64 for floating point."""
    sent = neuron.output_shape(shape)
    dtype = np.float64 if neuron.is_float else np.int64
    v, n = neuron.initial()
    return State(np.full(shape, v, dtype), np.full(sent, n, dtype))
