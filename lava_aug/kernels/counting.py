"""What is counted of a time step, and how: events, spike sums, overflows, synaptic operations, coefficients.

The compiled neurons count as they go, in the same pass over memory; all others call `count`. Operations are counted by
`FanOut`. The loops here are compiled by numba.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from lava_aug.core.fixed_point import Array, is_array

EVENTS, SPIKE_SUM, SATURATED, CAPPED, LARGEST = range(5)
"""Columns of the counts that a time step of a population gives, per image."""


def count(s: Array, saturated: Array | None = None, capped: Array | None = None) -> NDArray[Any]:
    """The counts of one time step.

    Parameters
    ----------
    s : numpy.ndarray or torch.Tensor, shape (B, *shape)
        Spike coefficients.
    saturated, capped : of the same kind, bool, shape (B, ...), optional
        Where potentials were clipped, and where coefficients were cut, as in `lava_aug.core.neurons.Step`.

    Returns
    -------
    numpy.ndarray, int64, shape (B, 5)
        Non-zero coefficients, the sum of their magnitudes, clipped potentials, cut coefficients, and the largest
        magnitude in the batch.

    Examples
    --------
    >>> count(np.array([[1, 0, -3], [0, 0, 2]]), saturated=np.array([[True, True], [False, False]])).tolist()
    [[2, 4, 2, 0, 3], [1, 2, 0, 0, 3]]
    """
    counts, size = np.zeros((len(s), 5), np.int64), abs(s)
    counts[:, EVENTS], counts[:, SPIKE_SUM], counts[:, LARGEST] = per_image(s != 0), per_image(size), int(size.max())
    for column, mask in ((SATURATED, saturated), (CAPPED, capped)):
        if mask is not None:
            counts[:, column] = per_image(mask)
    return counts


def per_image(values: Array) -> NDArray[Any]:
    """Sums over all axes but the first, in int64 or, for floats, in float64."""
    flat = values.reshape(len(values), -1)
    if is_array(flat):
        return flat.sum(1, np.float64 if flat.dtype.kind == "f" else np.int64)
    import torch

    return flat.sum(1, dtype=torch.float64 if flat.is_floating_point() else torch.int64).cpu().numpy()


class FanOut(NamedTuple):
    """The synapses that leave each neuron of a layer towards one consumer.

    Attributes
    ----------
    uniform : int or None
        How many that are, if it is the same number for all neurons.
    weights : numpy.ndarray or torch.Tensor
        How many that are for each neuron, int32, one axis.
    """

    uniform: int | None
    weights: Array

    def operations(self, s: Array, events: NDArray[Any]) -> NDArray[Any]:
        """Synaptic operations per image, int64 ``(B,)``: each event counts as often as synapses leave its neuron.

        Parameters
        ----------
        s : numpy.ndarray or torch.Tensor, shape (B, *shape)
            Spike coefficients.
        events : numpy.ndarray, shape (B,)
            How many of them are not zero.
        """
        if self.uniform is not None:
            return events * self.uniform
        flat = s.reshape(len(s), -1)
        if is_array(flat):
            return weighted_events(flat, np.asarray(self.weights))
        return per_image((flat != 0) * self.weights)


def fan_out_of(counts: NDArray[Any]) -> FanOut:
    """The fan-out for the number of synapses that leave each neuron."""
    flat = counts.ravel()
    return FanOut(int(flat[0]) if (flat == flat[0]).all() else None, flat.astype(np.int32))


@numba.njit(nogil=True, cache=True)
def _weighted_events(s: NDArray[Any], weights: NDArray[Any], result: NDArray[Any]) -> None:
    for b in range(s.shape[0]):
        sb = s[b]
        total = np.int64(0)
        for i in range(s.shape[1]):
            total += weights[i] if sb[i] != 0 else np.int32(0)
        result[b] = total


def weighted_events(s: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """For each image, the sum of ``weights`` over the neurons that sent something.

    Parameters
    ----------
    s : numpy.ndarray, float32, shape (B, neurons)
        Spike coefficients.
    weights : numpy.ndarray, int32, shape (neurons,)
        For example each neuron's fan-out.

    Returns
    -------
    numpy.ndarray, int64, shape (B,)
    """
    result = np.empty(len(s), np.int64)
    _weighted_events(s, weights, result)
    return result


@numba.njit(nogil=True, cache=True)
def _units(s: NDArray[Any]) -> tuple[np.int64, np.int64, np.int64]:
    plus, minus, others = np.int64(0), np.int64(0), np.int64(0)
    for i in range(s.size):
        plus += np.int64(s[i] == 1)
        minus += np.int64(s[i] == -1)
        others += np.int64(abs(s[i]) > 1)
    return plus, minus, others


@numba.njit(nogil=True, cache=True)
def _histogram(s: NDArray[Any], low: int, counts: NDArray[Any]) -> None:
    for i in range(s.size):
        if s[i] != 0:
            counts[np.int64(s[i]) - low] += 1


def coefficient_counts(s: NDArray[Any]) -> dict[int, int]:
    """How many spikes there are of each coefficient, zeros left out.

    Parameters
    ----------
    s : numpy.ndarray
        Spike coefficients, of any shape.

    Examples
    --------
    >>> coefficient_counts(np.array([1, 0, -3, 1]))
    {-3: 1, 1: 2}
    """
    s = s.reshape(-1).astype(np.float32, copy=False)
    plus, minus, others = _units(s)
    if not others:
        return {value: int(count) for value, count in ((-1, minus), (1, plus)) if count}
    low = int(s.min())
    counts = np.zeros(int(s.max()) - low + 1, np.int64)
    _histogram(s, low, counts)
    return {int(k) + low: int(counts[k]) for k in np.flatnonzero(counts)}
