"""What every neuron has: parameters, initial state, and the one place where a time step is written.

`Neuron.step` is pure and works element by element, so it broadcasts over any leading batch axes. The simulator calls
it with torch tensors of shape ``(batch, *shape)``, the Lava ProcessModels with numpy arrays of shape ``shape``.

One time step, with input current ``a`` and bias ``b``::

    v = sat24(v + a + b)
    s = fire(v, n)                  # the only thing in which the neurons differ
    s = min(s, n_max * t - n)       # in step t of the window, if n is bounded
    v = v - s * vth                 # soft reset
    n = n + s                       # running sum of what was sent in this window

A neuron also says everything else that anybody asks about it: its state, what its operations cost, how it is told and
drawn, its total. Nobody outside asks for its type, but for tables of faster or foreign forms, by the class.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import STATE_BITS, Array, carried, extremes, is_array, saturate
from lava_aug.core.spec import Numbers, Spec, is_number

Shape = tuple[int, ...]

MAX_STEPS = 1 << 16
"""Most time steps per image. Of so many, the sum of a pixel is exact in float32 (255 * 2**16 < 2**24)."""

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


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the state, as `State` names it.

    Attributes
    ----------
    name : str
        Its name in `State`, and that of its Var on Lava.
    bits : int
        Its width.
    initial : int, float or array
        What it is at the start of a window.
    count : int
        How many of it each neuron has to keep: one for each of its `Neuron.inputs`, none if it decides nothing.
    """

    name: str
    bits: int
    initial: Numbers
    count: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """Operations by kind; shifts are free.

    Attributes
    ----------
    additions : int
        Additions and comparisons.
    products : tuple of (int, int)
        Products, by the widths of their factors in bits.
    """

    additions: int = 0
    products: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.additions + other.additions, self.products + other.products)


class Doubt(NamedTuple):
    """What a chip may be unable to do, as far as is public: a number, the problem, and the change that avoids it."""

    found: int
    problem: str
    change: str


COSTS = {"integrate": "integrate_cost", "fire": "fire_cost", "due": "fire_cost", "_rest": "event_cost"}
"""Where the cost of each part of a step is declared: whoever writes the part anew has to say what it costs."""

CONSEQUENCES = {
    "integrate": ("no_total", "mean"),
    "step": ("no_total", "mean"),
    "fire": ("no_total",),
    "due": ("no_total", "mean"),
}
"""What follows from each part of a step, so that it is not inherited by whoever writes the part anew."""


class Neuron(Spec):
    """Base of all neurons: integrates, asks `fire` for the spike coefficient, and resets softly."""

    type_name: ClassVar[str]
    ports: ClassVar[tuple[str, ...]] = ("a",)
    """Input ports."""
    fires: ClassVar[bool] = True
    """False for neurons that never send a spike (readouts)."""
    graded: ClassVar[bool] = False
    """True if a spike coefficient beyond -1, 0, 1 can occur."""
    takes_bias: ClassVar[bool] = True
    """False for neurons that must not have one."""
    negative: ClassVar[bool] = True
    """False for neurons whose coefficients are never below 0."""
    settable: ClassVar[tuple[str, ...]] = ()
    """Parameters that may be changed between steps: Vars on Lava."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Parameters that are arrays, but belong to all neurons of a layer together, such as the table of a function."""
    integrate_cost: ClassVar[Cost] = Cost(additions=1)
    """What `integrate` takes for each input current, in every step: the bias; the currents' sums are the synapses'."""
    fire_cost: ClassVar[Cost]
    """What `fire`, or `due`, takes for each input current in every step, such as a comparison for each threshold."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own = set(vars(cls))
        for part, cost in COSTS.items():
            if part in own and cost not in own:
                raise SpecError(f"{cls.__name__} has its own {part}: say what it costs, as {cost} = Cost(...)")
        for part in own & set(CONSEQUENCES):
            for name in set(CONSEQUENCES[part]) - own:
                setattr(cls, name, vars(Neuron)[name])
        super().__init_subclass__(**kwargs)

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
        for name, value in self._own().items():
            if is_array(value) and not broadcasts(value.shape, shape):
                raise SpecError(
                    f"{type(self).__name__}.{name}: expected a shape that broadcasts to {shape}, found {value.shape}"
                )
        return shape

    # What it keeps and sends

    @property
    def inputs(self) -> int:
        """How many input currents a neuron keeps apart."""
        return 1

    @property
    def keeps_n(self) -> bool:
        """Whether ``n`` decides what is sent."""
        return self.fires

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The state."""
        v, n = self.initial()
        potential = Variable("v", STATE_BITS, v, self.inputs)
        return (potential, Variable("n", STATE_BITS, n, int(self.keeps_n))) if self.fires else (potential,)

    @property
    def rectifies(self) -> bool:
        """Whether ``n`` is never below 0, as that of a ReLU, however far ``v`` is pushed down."""
        return False

    @property
    def coefficient_range(self) -> tuple[int, int]:
        """Smallest and largest spike coefficient."""
        return (-self.coefficient_limit if self.negative else 0), self.coefficient_limit

    @property
    def payload_bits(self) -> int:
        """Width of a spike: a sign where there are negative ones, and the magnitude; 1 for ordinary spikes."""
        low, high = self.coefficient_range
        return high.bit_length() + (low < 0)

    def sent_limit(self, arriving: int) -> int:
        """Largest magnitude of a coefficient where none that arrives exceeds ``arriving``."""
        return self.coefficient_limit

    def wanted(self, drive: int) -> int:
        """Largest coefficient before the payload's limit, if input current and bias reach ``drive`` together."""
        return drive + 1 if self.graded else self.coefficient_limit

    def reach(self, drive: int, num_steps: int) -> int:
        """Largest potential after some steps, if input current and bias reach ``drive`` together."""
        return int(np.abs(self.initial()[0]).max()) + num_steps * drive

    # What it costs

    @property
    def step_cost(self) -> Cost:
        """What a step takes for each input current, whether the neuron fires or not."""
        return self.integrate_cost + self.fire_cost

    def costs(self, shape: Shape) -> tuple[tuple[Cost, int], ...]:
        """What a step takes in all, and how many times, for input current of a shape."""
        return ((self.step_cost, math.prod(shape)),)

    @property
    def event_cost(self) -> Cost:
        """What a spike takes in the neuron that sends it: the reset."""
        return Cost()

    def doubts(self) -> Iterator[Doubt]:
        """What Loihi 2 may not do, as far as that is public."""
        return iter(())

    # How it is told and drawn

    @property
    def thresholds(self) -> Mapping[str, Numbers]:
        """What ``v`` is compared with, by name; the first is the amount subtracted per unit of a spike."""
        return {}

    @property
    def threshold(self) -> Numbers | None:
        """The amount subtracted from ``v`` per unit of spike coefficient; None if there is no such thing."""
        return next(iter(self.thresholds.values()), None)

    def numbers(self) -> dict[str, Numbers]:
        """All parameters that are numbers, or arrays with one for each neuron, and are given: thresholds first."""
        given = {name: value for name, value in self._own().items() if is_number(value) or is_array(value)}
        return {**self.thresholds, **given}

    def _own(self) -> dict[str, Any]:
        """The parameters of which each neuron has its own, or the same as all others."""
        return {name: getattr(self, name) for name, _ in self.declarations() if name not in self.shared}

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name

    def told(self, before: State, a: NDArray[Any], bias: NDArray[Any], at: tuple[int, ...]) -> dict[str, Any]:
        """State and input of one neuron before a step, for reports; ``at`` is its index in the arrays of ``before``."""
        return {"v": before.v[at], "n": before.n[at], "a": a[at], "bias": np.broadcast_to(bias, a.shape)[at]}

    def peak(self, v: Array, s: Array) -> Array:
        """The potential that fired, from what is left of it and what was sent: the inverse of `_rest`."""
        return v

    # What it computes

    def mean(self, a: Array, *, clip: bool) -> Array:
        """The mean coefficient per step for a constant real-valued input, biases in it, if nothing were rounded.

        Parameters
        ----------
        a : array
            Input in units of ``v`` per step.
        clip : bool
            Whether payloads end.

        Raises
        ------
        SpecError
            If the neuron does not say.
        """
        raise SpecError(f"{type(self).__name__}: its mean activation is not known; write {type(self).__name__}.mean")

    @property
    def gain(self) -> Numbers | None:
        """Coefficients per unit of input, where `mean` is steepest; None if that depends on other inputs."""
        return None if self.threshold is None else 1 / self.threshold

    @property
    def no_total(self) -> str | None:
        """Why what was sent in all does not follow from what came in in all; None if it does, as `settled` says."""
        return f"has {self.type_name} neurons, whose spikes depend on the order of their inputs"

    def settled(self, u: Array, t: int) -> Array:
        """``n`` after ``t`` steps (readouts: ``v``) in which ``u - v0`` came in in all; SpecError if the order matters.

        Saturation and payloads' limits are left out: see `swing`.
        """
        raise SpecError(f"{type(self).__name__}.settled: {self.no_total}")

    def total(self, x: Array, t: int) -> Array | None:
        """``n`` after ``t`` steps in which ``x`` came in, biases in it, whatever the order; None if the order matters.

        Of a readout, which sends nothing, ``v``. Holds without saturation and without cuts to the payload's width.
        """
        return None if self.no_total else self.settled(x + carried(self.initial()[0], x), t)

    def swing(self, u: Array, n: Array, t: int, *, steady: bool) -> float:
        """How far from 0 the potential is believed to have been on the way to `settled`.

        Parameters
        ----------
        u, n : array
            Argument and result of `settled`.
        t : int
            Steps.
        steady : bool
            Whether the same came in in every step.
        """
        low, high = extremes(u)
        return max(high, -low)

    def integrate(self, v: Array, a: Array, bias: Array) -> Array:
        """The potential before firing and saturation: ``v + a + b``."""
        return v + a + bias

    def fire(self, v: Array, n: Array) -> Array:
        """The spike coefficient before the bound on ``n`` and the payload's limit."""
        raise NotImplementedError

    def due(self, v: Array, n: Array, t: int) -> Array:
        """The spike coefficient in step ``t`` of the window, from 1, before the payload's limit: `fire`, bounded."""
        return self._bounded(self.fire(v, n), n, t)

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
        s, capped = self._limit(self.due(v, state.n, t))
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
