"""`IntegrateFire`, `DoubleThresholdIF` and `AugmentedIF`: `Neurons` of one type each, with its parameters as arguments.

Each says for itself what it takes and has, since that is what ``help()`` and editors show; tests hold the arguments
against what `lava_aug.core.neurons` declares.
"""

from typing import Any

from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var

from lava_aug.core.fixed_point import MESSAGE_BITS
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, RateNeuron, Shape
from lava_aug.core.spec import Numbers
from lava_aug.processes.neurons import Neurons


class IntegrateFire(Neurons):
    """Integrate-and-fire neurons with soft reset, for rate coding (`lava_aug.core.neurons.RateNeuron`)::

        v = sat24(v + a_in + bias)
        s_out = 1 if v >= vth else 0
        v, n = v - s_out * vth, n + s_out

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    vth : int, float or array
        Threshold, and the amount subtracted from ``v`` per unit of spike coefficient: 1 .. 2**23 - 1, or floats above
        0, which make the neurons floating-point. Arrays, here and below, broadcast to ``shape``.
    v0 : int, float or array, optional
        Potential at the start of a window; default ``floor(vth / 2)``, for floats ``vth / 2``.
    n_max : int or array, optional
        Upper bound on ``n / t``, the mean coefficient in the first t steps of a window, as of ReLU6; default none.
    bias : int, float or array
        Added to ``v`` in every step; 24-bit integers for fixed point.
    reset_interval, reset_offset : int, optional
        `v` and `n` are reset at the start of each step t, counted from 1, with ``t % reset_interval == reset_offset %
        reset_interval``; default: never.
    name, log_config : str and LogConfig, optional
        Name of the Process, and Lava's logging configuration.

    Attributes
    ----------
    a_in : InPort
        Input current, ``shape``: integers of 64 bits, or floats.
    s_out : OutPort
        Spikes, 0 or 1, ``shape``.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and 0, in this step.
    v, n : Var
        Membrane potential, and sum of the coefficients since the last reset, ``shape``.
    vth, v0 : Var
        The arguments, of their own shapes, ``(1,)`` for numbers. They may be set between runs; `v0` takes effect with
        the next reset.
    bias : Var
        The bias, ``shape``.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or an array does not broadcast to ``shape``.
    """

    vth: Var
    v0: Var

    def __init__(
        self,
        shape: Shape,
        vth: Numbers,
        *,
        v0: Numbers | None = None,
        n_max: Numbers | None = None,
        bias: Numbers | list[Any] = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        neuron = RateNeuron(vth=vth, v0=v0, n_max=n_max)
        super().__init__(shape, neuron, bias, reset_interval, reset_offset, name, log_config)


class DoubleThresholdIF(Neurons):
    """TerMapping's neurons: ordinary spikes of both signs (`lava_aug.core.neurons.DoubleThresholdNeuron`)::

        v = sat24(v + a_in + bias)
        s_out = 1 if v >= vth, -1 if v <= vth_lo and n > 0 (signed: whatever n is), else 0
        v, n = v - s_out * vth, n + s_out

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    vth : int, float or array
        Threshold, and the amount subtracted from ``v`` per unit of spike coefficient: 1 .. 2**23 - 1, or floats above
        0, which make the neurons floating-point. Arrays, here and below, broadcast to ``shape``.
    v0 : int, float or array, optional
        Potential at the start of a window; default ``floor(vth / 2)``, for floats ``vth / 2``.
    n_max : int or array, optional
        Upper bound on ``n / t``, the mean coefficient in the first t steps of a window, as of ReLU6; default none.
    vth_lo : int, float or array, optional
        Lower threshold, negative; default -1, for floats ``-vth * 2**-16``.
    signed : bool
        Whether ``n`` may become negative; otherwise the neurons are ReLUs.
    bias : int, float or array
        Added to ``v`` in every step; 24-bit integers for fixed point.
    reset_interval, reset_offset : int, optional
        `v` and `n` are reset at the start of each step t, counted from 1, with ``t % reset_interval == reset_offset %
        reset_interval``; default: never.
    name, log_config : str and LogConfig, optional
        Name of the Process, and Lava's logging configuration.

    Attributes
    ----------
    a_in : InPort
        Input current, ``shape``: integers of 64 bits, or floats.
    s_out : OutPort
        Spikes, -1, 0 or 1, ``shape``.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and 0, in this step.
    v, n : Var
        Membrane potential, and sum of the coefficients since the last reset, ``shape``.
    vth, v0, vth_lo : Var
        The arguments, of their own shapes, ``(1,)`` for numbers. They may be set between runs; `v0` takes effect with
        the next reset.
    bias : Var
        The bias, ``shape``.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or an array does not broadcast to ``shape``.
    """

    vth: Var
    v0: Var
    vth_lo: Var

    def __init__(
        self,
        shape: Shape,
        vth: Numbers,
        *,
        v0: Numbers | None = None,
        n_max: Numbers | None = None,
        vth_lo: Numbers | None = None,
        signed: bool = False,
        bias: Numbers | list[Any] = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        neuron = DoubleThresholdNeuron(vth=vth, v0=v0, n_max=n_max, vth_lo=vth_lo, signed=signed)
        super().__init__(shape, neuron, bias, reset_interval, reset_offset, name, log_config)


class AugmentedIF(Neurons):
    """AugMapping's neurons: one graded spike for all double-threshold spikes that fit into the step::

        v = sat24(v + a_in + bias)
        s_out = floor(v / vth)                            if v >= vth
        s_out = -min(n, floor((vth_lo - v) / vth) + 1)    if v <= vth_lo    (signed: without the min)
        s_out = 0                                         otherwise
        v, n = v - s_out * vth, n + s_out

    `lava_aug.core.neurons.AugmentedNeuron` says more.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    vth : int, float or array
        Threshold, and the amount subtracted from ``v`` per unit of spike coefficient: 1 .. 2**23 - 1, or floats above
        0, which make the neurons floating-point. Arrays, here and below, broadcast to ``shape``.
    v0 : int, float or array, optional
        Potential at the start of a window; default ``floor(vth / 2)``, for floats ``vth / 2``.
    n_max : int or array, optional
        Upper bound on ``n / t``, the mean coefficient in the first t steps of a window, as of ReLU6; default none.
    vth_lo : int, float or array, optional
        Lower threshold, negative; default -1, for floats ``-vth * 2**-16``.
    signed : bool
        Whether ``n`` may become negative; otherwise the neurons are ReLUs.
    message_bits : int
        Width of the signed payload, 2 .. 24: a coefficient is at most ``2**(message_bits - 1) - 1``, of either sign.
    bias : int, float or array
        Added to ``v`` in every step; 24-bit integers for fixed point.
    reset_interval, reset_offset : int, optional
        `v` and `n` are reset at the start of each step t, counted from 1, with ``t % reset_interval == reset_offset %
        reset_interval``; default: never.
    name, log_config : str and LogConfig, optional
        Name of the Process, and Lava's logging configuration.

    Attributes
    ----------
    a_in : InPort
        Input current, ``shape``: integers of 64 bits, or floats.
    s_out : OutPort
        Spike coefficients, ``shape``: integers of 32 bits, or floats.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and spikes cut to the payload's width, in this step.
    v, n : Var
        Membrane potential, and sum of the coefficients since the last reset, ``shape``.
    vth, v0, vth_lo : Var
        The arguments, of their own shapes, ``(1,)`` for numbers. They may be set between runs; `v0` takes effect with
        the next reset.
    bias : Var
        The bias, ``shape``.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or an array does not broadcast to ``shape``.
    """

    vth: Var
    v0: Var
    vth_lo: Var

    def __init__(
        self,
        shape: Shape,
        vth: Numbers,
        *,
        v0: Numbers | None = None,
        n_max: Numbers | None = None,
        vth_lo: Numbers | None = None,
        signed: bool = False,
        message_bits: int = MESSAGE_BITS,
        bias: Numbers | list[Any] = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        neuron = AugmentedNeuron(vth=vth, v0=v0, n_max=n_max, vth_lo=vth_lo, signed=signed, message_bits=message_bits)
        super().__init__(shape, neuron, bias, reset_interval, reset_offset, name, log_config)
