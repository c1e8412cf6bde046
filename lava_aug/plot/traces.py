"""Individual neurons over time, for plots and explanations."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.neurons import Neuron, initial_state


@dataclasses.dataclass(frozen=True)
class Trace:
    """What neurons did, step by step; every array is ``(num_steps, *shape)``.

    Attributes
    ----------
    neuron : Neuron
        Their specification.
    a : numpy.ndarray
        Input current.
    peak : numpy.ndarray
        Membrane potential before the reset by subtraction, which is compared with the thresholds.
    v : numpy.ndarray
        Potential at the end of the step.
    s : numpy.ndarray
        Spike coefficients.
    n : numpy.ndarray
        Their running sum.
    """

    neuron: Neuron
    a: NDArray[Any]
    peak: NDArray[Any]
    v: NDArray[Any]
    s: NDArray[Any]
    n: NDArray[Any]


def trace(neuron: Neuron, a: Any, bias: Any = 0) -> Trace:
    """Run neurons from reset on a sequence of input currents.

    Parameters
    ----------
    neuron : Neuron
        The neuron to run, any of `lava_aug.core.neurons`.
    a : array, shape (num_steps, *shape)
        Input current in every step; integers for fixed-point neurons.
    bias : number or array
        Added in every step.

    Returns
    -------
    Trace
        Membrane potentials, spikes and sums.

    Examples
    --------
    >>> from lava_aug.core.neurons import AugmentedNeuron
    >>> trace(AugmentedNeuron(vth=10), [25, -9, -30]).s
    array([ 3, -1, -2])
    """
    currents = np.asarray(a)
    state = initial_state(neuron, currents.shape[1:])
    currents = currents.astype(state.v.dtype)
    rows = []
    for current in currents:
        step = neuron.step(state, current, bias)
        rows.append((neuron.peak(step.state.v, step.s), step.state.v, step.s, step.state.n))
        state = step.state
    peak, v, s, n = (np.stack(column) for column in zip(*rows, strict=True))
    return Trace(neuron, currents, peak, v, s, n)
