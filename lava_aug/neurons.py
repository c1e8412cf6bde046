"""Neuron specifications: parameters, initial state, and the one place where a time step is written.

`Neuron.step` is pure and works element by element, so it broadcasts over any leading batch axes. The simulator calls
it with torch tensors of shape ``(batch, *shape)``, the Lava ProcessModels with numpy arrays of shape ``shape``.

One time step, with input current ``a`` and bias ``b``::

    v = sat24(v + a + b)
    s = fire(v, n)                  # the only thing in which the neurons differ
    s = min(s, n_max * t - n)       # in step t of the window, if n is bounded
    v = v - s * vth                 # soft reset
    n = n + s                       # running sum of what was sent in this window

Parameters are numbers, or arrays that broadcast to the shape of the layer, such as ``(C, 1, 1)`` for one value per
channel. Integers make a fixed-point neuron, a floating-point ``vth`` makes a floating-point one, which does not
saturate. To add a neuron, write a subclass with a ``type_name`` and `fire`, decorated with ``@registered(NEURONS)``.

Source: the double threshold and the augmented spike are from Yu, Ma et al., IEEE TNNLS 33(4), 2022, arXiv 2005.03231;
the exact rules, which its abstract leaves open, are our choice (docs/arithmetic.md).
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lava_aug import fixed_point, windows
from lava_aug.errors import SpecError
from lava_aug.fixed_point import Array, carried, cast_like, floor_div, saturate
from lava_aug.spec import Numbers, Spec, boolean, every, frozen, integer, numbers, offending, pair, registered
from lava_aug.windows import Window

Shape = tuple[int, ...]

NEURONS: dict[str, type["Neuron"]] = {}
"""Every neuron by the name of its type in files."""

MAX_VTH = fixed_point.signed_range(fixed_point.STATE_BITS)[1]

MAX_N_MAX = fixed_point.signed_range(fixed_point.PORT_BITS)[1]
"""Largest bound on the mean coefficient: any payload is narrower, and its product with the time fits into 64 bits."""

FLOAT_VTH_LO = 2.0**-16
"""Default ``-vth_lo / vth`` of floating-point neurons: a float has no next number below zero that is the same at every
scale as -1 is for integers, so this small part of the threshold stands for it."""


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


def _is_float(value: Numbers) -> bool:
    return value.dtype.kind == "f" if isinstance(value, np.ndarray) else isinstance(value, float)


class _Threshold(Neuron):
    """What the three threshold neurons share."""

    vth: Numbers = numbers(
        stored_as="vThMant",
        doc="threshold, and what one unit of spike coefficient takes off v; 1 .. 2**23-1, or a positive float",
    )
    v0: Numbers | None = numbers(
        optional=True, default=None, stored_as="v0", doc="potential at the start of a window; default vth // 2"
    )
    n_max: Numbers | None = numbers(
        low=1,
        high=MAX_N_MAX,
        whole=True,
        optional=True,
        default=None,
        stored_as="nMax",
        doc="upper bound on n / t, the mean coefficient since the start of the window: ReLU6, clamp; default none",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "vth",
            lambda vth: (vth > 0) & (self.is_float | (vth <= MAX_VTH)),
            f"an integer from 1 to {MAX_VTH} or a positive float",
        )
        if self.v0 is None:
            object.__setattr__(self, "v0", self.vth / 2 if self.is_float else self.vth // 2)
        self._same_format("v0")

    def _check(self, name: str, possible: Callable[[Any], Any], expected: str) -> None:
        value = getattr(self, name)
        if not every(possible, value):
            raise SpecError(f"{type(self).__name__}.{name}: expected {expected}, found {offending(possible, value)}")

    def _same_format(self, name: str) -> None:
        """Fixed-point parameters must be 24-bit integers; in floating point, integers become floats."""
        if not self.is_float:
            low, high = fixed_point.signed_range(fixed_point.STATE_BITS)
            expected = f"an integer from {low} to {high}, as vth is an integer"
            self._check(name, lambda v: (np.asarray(v).dtype.kind in "iu") & (low <= v) & (v <= high), expected)
        value = getattr(self, name)
        if isinstance(value, np.ndarray):
            value = frozen(value.astype(np.float32) if self.is_float else value)
        elif self.is_float:
            value = float(value)
        object.__setattr__(self, name, value)

    @property
    def is_float(self) -> bool:
        return _is_float(self.vth)

    def initial(self) -> tuple[Numbers, int]:
        assert self.v0 is not None  # set in __post_init__
        return self.v0, 0

    def _bounded(self, s: Array, n: Array, t: int) -> Array:
        # With n <= n_max * t, this only touches s > 0. Float32 rounds the product where it is beyond what n can reach.
        return s if self.n_max is None else s.clip(max=carried(self.n_max, n) * t - n)

    def _rest(self, v: Array, s: Array) -> Array:
        return v - s * carried(self.vth, v)


@registered(NEURONS)
class RateNeuron(_Threshold):
    """Ordinary integrate-and-fire neuron with soft reset, the baseline: ``s = 1 if v >= vth else 0``.

    Examples
    --------
    >>> neuron = RateNeuron(vth=10, v0=0)
    >>> neuron.step(State(np.array([4, 25]), np.array([0, 0])), np.array([5, 5]), 0).s
    array([0, 1])
    """

    type_name = "IF"

    def fire(self, v: Array, n: Array) -> Array:
        return cast_like(v >= carried(self.vth, v), v)


class _DoubleThreshold(_Threshold):
    """What neurons with a lower threshold share."""

    vth_lo: Numbers | None = numbers(
        optional=True,
        default=None,
        stored_as="vThLo",
        doc="lower threshold, negative; default -1 (floating point: -vth * 2**-16)",
    )
    signed: bool = boolean(
        default=False,
        stored_as="signed",
        doc="whether n may become negative (pooling relays, linear outputs); otherwise the neuron is a ReLU",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vth_lo is None:
            object.__setattr__(self, "vth_lo", -self.vth * FLOAT_VTH_LO if self.is_float else -1)
        self._same_format("vth_lo")
        self._check("vth_lo", lambda vth_lo: vth_lo < 0, "a negative number")


@registered(NEURONS)
class DoubleThresholdNeuron(_DoubleThreshold):
    """TerMapping's neuron: ordinary spikes of both signs::

        s = +1   if v >= vth
        s = -1   if v <= vth_lo and n > 0       (signed: whatever n is)
        s =  0   otherwise

    ``n > 0`` makes it a ReLU: it takes back what it sent too early, and no more.

    Examples
    --------
    >>> neuron = DoubleThresholdNeuron(vth=10)
    >>> neuron.step(State(np.array([5, 5, 5]), np.array([0, 0, 1])), np.array([25, -9, -9]), 0).s
    array([ 1,  0, -1])
    """

    type_name = "DTIF"

    def fire(self, v: Array, n: Array) -> Array:
        up = cast_like(v >= carried(self.vth, v), v)
        down = cast_like(v <= carried(self.vth_lo, v), v)
        return up - (down if self.signed else down.clip(max=n))


@registered(NEURONS)
class AugmentedNeuron(_DoubleThreshold):
    """AugMapping's neuron: as many double-threshold spikes as fit into the step, in one graded spike::

        s = floor(v / vth)                              if v >= vth
        s = -min(n, floor((vth_lo - v) / vth) + 1)      if v <= vth_lo      (signed: without the min)
        s = 0                                           otherwise
        |s| <= 2**(message_bits - 1) - 1

    With ``vth_lo = -1``, no saturation and no cap, after every step since the reset
    ``n = max(0, floor((v0 + sum of (a + b)) / vth))``, whatever the order of the inputs (docs/arithmetic.md).

    Examples
    --------
    >>> neuron = AugmentedNeuron(vth=10)
    >>> neuron.step(State(np.array([5, 5, 5]), np.array([0, 1, 9])), np.array([37, -40, -40]), 0).s
    array([ 4, -1, -4])
    """

    type_name = "AUGIF"
    graded = True

    message_bits: int = integer(
        low=2,
        high=fixed_point.MAX_MESSAGE_BITS,
        default=fixed_point.MESSAGE_BITS,
        stored_as="payloadBits",
        doc="width of the signed payload that carries the spike coefficient",
    )

    @property
    def coefficient_limit(self) -> int:
        return fixed_point.symmetric_limit(self.message_bits)

    def fire(self, v: Array, n: Array) -> Array:
        # Below each threshold the quotient is not positive, so clipping at zero is the "otherwise" of the equation.
        vth, low = carried(self.vth, v), carried(self.vth_lo, v)
        up = floor_div(v, vth).clip(min=0)
        down = (floor_div(low - v, vth) + 1).clip(min=0)
        return up - (down if self.signed else down.clip(max=n))


@registered(NEURONS)
class ReadoutNeuron(Neuron):
    """Integrates and never fires: ``v = sat24(v + a + b)``, from 0. The prediction is the argmax of ``v``.

    Examples
    --------
    >>> ReadoutNeuron().step(State(np.array([1, 2**23 - 1]), np.array([0, 0])), np.array([5, 5]), 0).state.v
    array([      6, 8388607])
    """

    type_name = "READOUT"
    fires = False

    floating: bool = boolean(default=False, stored_as="floating", doc="whether v is floating point, without saturation")

    @property
    def is_float(self) -> bool:
        return self.floating

    @property
    def coefficient_limit(self) -> int:
        return 0

    def initial(self) -> tuple[Numbers, int]:
        return (0.0 if self.floating else 0), 0

    def fire(self, v: Array, n: Array) -> Array:
        return n  # stays 0


@registered(NEURONS)
class MaxPoolNeuron(Neuron):
    """Max pooling: passes on the maximum over its inputs' running sums::

        v = sat24(v + a)                        for each input
        s = max over the window of v - n        for each output; outside of the map is minus infinity
        |s| <= 2**(message_bits - 1) - 1

    Without saturation and cap, after every step since the reset ``n`` is the maximum over the window of what has come
    in over each input. If inputs change by -1, 0 or 1, so does their maximum. The window slides over the last two axes,
    so ``v`` and the input current have another shape than ``n`` and ``s``. Parameters are those of
    `torch.nn.MaxPool2d`; pairs are (height, width).

    Examples
    --------
    >>> neuron = MaxPoolNeuron(kernel_size=(1, 2))
    >>> neuron.step(State(np.array([[5, 3, 0, 0]]), np.array([[5, 0]])), np.array([[-4, 1, -2, -1]]), 0).s
    array([[-1, -1]])
    """

    type_name = "MAXPOOL"
    graded = True
    takes_bias = False

    kernel_size: tuple[int, int] = pair(low=1, stored_as="kernelSize", doc="height and width of the window")
    stride: tuple[int, int] | None = pair(
        low=1, optional=True, default=None, stored_as="stride", doc="steps of the window; default the window's size"
    )
    padding: tuple[int, int] = pair(low=0, default=(0, 0), stored_as="padding", doc="minus infinity on each side")
    dilation: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="dilation", doc="distance of window elements")
    ceil_mode: bool = boolean(
        default=False, stored_as="ceilMode", doc="whether a last window may reach beyond the map and its padding"
    )
    message_bits: int = integer(
        low=2,
        high=fixed_point.MAX_MESSAGE_BITS,
        default=fixed_point.MESSAGE_BITS,
        stored_as="payloadBits",
        doc="width of the signed payload that carries the spike coefficient",
    )
    floating: bool = boolean(default=False, stored_as="floating", doc="whether v is floating point, without saturation")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if any(2 * padding > span for padding, span in zip(self.padding, spans, strict=True)):
            raise SpecError(
                f"MaxPoolNeuron.padding: expected at most half of the window, which spans {tuple(spans)}, "
                f"found {self.padding}"
            )

    @property
    def is_float(self) -> bool:
        return self.floating

    @property
    def coefficient_limit(self) -> int:
        return fixed_point.symmetric_limit(self.message_bits)

    @property
    def _windows(self) -> list[Window]:
        assert self.stride is not None  # set in __post_init__
        return list(map(Window, self.kernel_size, self.stride, self.padding, self.dilation))

    def initial(self) -> tuple[Numbers, int]:
        return (0.0 if self.floating else 0), 0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise SpecError(f"MaxPoolNeuron: expected input current (..., height, width), found shape {shape}")
        try:
            return (*shape[:-2], *windows.counts(self._windows, shape[-2:], self.ceil_mode))
        except SpecError as error:
            raise SpecError(f"MaxPoolNeuron: {error}") from None

    def describe(self) -> str:
        size, stride = ("x".join(map(str, found)) for found in (self.kernel_size, self.stride or ()))
        return f"{self.type_name} {size}/{stride}"

    def maxima(self, v: Array) -> Array:
        """The maximum over each window, ``(..., *shape) -> (..., *output_shape(shape))``."""
        return windows.maxima(v, self._windows, self.ceil_mode)

    def fire(self, v: Array, n: Array) -> Array:
        return self.maxima(v) - n


def initial_state(neuron: Neuron, shape: Shape) -> State:
    """A numpy state for input current of a shape at the start of a window: int64, or float64 for floating point."""
    sent = neuron.output_shape(shape)
    dtype = np.float64 if neuron.is_float else np.int64
    v, n = neuron.initial()
    return State(np.full(shape, v, dtype), np.full(sent, n, dtype))
