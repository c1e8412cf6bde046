"""`MaxPool` and `Readout`: `Neurons` of one type each, with its parameters as arguments.

Each says for itself what it takes and has, since that is what ``help()`` and editors show; tests hold the arguments
against what `lava_aug.core.neurons` declares.
"""

from typing import Any

from lava.magma.core.process.process import LogConfig

from lava_aug.core.fixed_point import MESSAGE_BITS
from lava_aug.core.neurons import MaxPoolNeuron, ReadoutNeuron, Shape
from lava_aug.core.spec import Numbers
from lava_aug.processes.neurons import Neurons


class MaxPool(Neurons):
    """Max pooling: what it has sent in all is the maximum, over each window, of what has come in in all::

        v = sat24(v + a_in)                          for each input
        s_out = max over the window of v - n         for each output; outside of the map is minus infinity
        n = n + s_out

    The window slides over the last two axes. Arguments are those of `torch.nn.MaxPool2d`; pairs are (height, width),
    and one integer stands for both. `lava_aug.core.neurons.MaxPoolNeuron` says more.

    Parameters
    ----------
    shape : tuple of int
        Shape of the map, ``(..., height, width)``.
    kernel_size, stride, dilation : int or pair of int
        The window, its steps (default its size), and the distance of its elements.
    padding : int or pair of int
        Minus infinity on each side, at most half of the window.
    ceil_mode : bool
        Whether a last window may end beyond the padding, if it begins on the map.
    message_bits : int
        Width of the signed payload, 2 .. 24: a coefficient is at most ``2**(message_bits - 1) - 1``, of either sign.
    floating : bool
        Whether ``v`` is floating-point, without saturation.
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
        Spike coefficients, of the shape of the pooled map: integers of 32 bits, or floats.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and spikes cut to the payload's width, in this step.
    v : Var
        What has come in in all since the last reset, ``shape``.
    n : Var
        What was sent in all since the last reset, of the shape of `s_out`.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or the window does not fit the map.
    """

    def __init__(
        self,
        shape: Shape,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = (0, 0),
        dilation: int | tuple[int, int] = (1, 1),
        ceil_mode: bool = False,
        message_bits: int = MESSAGE_BITS,
        floating: bool = False,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        pairs: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
        neuron = MaxPoolNeuron(**pairs, ceil_mode=ceil_mode, message_bits=message_bits, floating=floating)
        super().__init__(shape, neuron, 0, reset_interval, reset_offset, name, log_config)


class Readout(Neurons):
    """Integrates and never fires: ``v = sat24(v + a_in + bias)``, from 0; the prediction is the argmax of ``v``.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population.
    floating : bool
        Whether ``v`` is floating-point, without saturation.
    bias : int, float or array
        Added to ``v`` in every step; 24-bit integers for fixed point.
    reset_interval, reset_offset : int, optional
        `v` is reset at the start of each step t, counted from 1, with ``t % reset_interval == reset_offset %
        reset_interval``; default: never.
    name, log_config : str and LogConfig, optional
        Name of the Process, and Lava's logging configuration.

    Attributes
    ----------
    a_in : InPort
        Input current, ``shape``: integers of 64 bits, or floats.
    v_out : OutPort
        ``v`` after the step, ``shape``: integers of 32 bits, or floats.
    overflow_out : OutPort
        ``(2,)``: how many neurons were clipped to 24 bits, and 0, in this step.
    v : Var
        Membrane potential, ``shape``.
    bias : Var
        The bias, ``shape``.
    saturated, capped : Var
        ``(1,)``: totals of what `overflow_out` reports, since the start.

    Raises
    ------
    SpecError
        If an argument is invalid, or the bias does not broadcast to ``shape``.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        floating: bool = False,
        bias: Numbers | list[Any] = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        super().__init__(shape, ReadoutNeuron(floating=floating), bias, reset_interval, reset_offset, name, log_config)
