"""Counting what populations send, compiled by numba."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

EVENTS, SPIKE_SUM, SATURATED, CAPPED, LARGEST = range(5)
"""Columns of the counts that a time step of a population gives, per image."""


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
    s : numpy.ndarray, float32, one axis
        Spike coefficients.

    Examples
    --------
    >>> coefficient_counts(np.array([1, 0, -3, 1], np.float32))
    {-3: 1, 1: 2}
    """
    plus, minus, others = _units(s)
    if not others:
        return {value: int(count) for value, count in ((-1, minus), (1, plus)) if count}
    low = int(s.min())
    counts = np.zeros(int(s.max()) - low + 1, np.int64)
    _histogram(s, low, counts)
    return {int(k) + low: int(counts[k]) for k in np.flatnonzero(counts)}
