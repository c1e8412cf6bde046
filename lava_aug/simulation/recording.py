"""`Recording`, spikes and counts of one layer, and `Tape`, what a port sent: in memory shared with forked processes."""

import math
import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.layers import Shape
from lava_aug.kernels.counting import CAPPED, EVENTS, SATURATED, SPIKE_SUM, count, fan_out_of


def shared_array(shape: Shape, dtype: type) -> NDArray[Any]:
    """A zeroed array in anonymous shared memory: children that are forked later write to the same pages.

    It has no name in the file system, so nothing is left behind however the program ends.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole: NDArray[Any] = np.frombuffer(mmap.mmap(-1, max(size, 1)), dtype, math.prod(shape))
    return whole.reshape(shape)


class Recording:
    """What a layer did in every time step of a run.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer.
    num_steps : int
        Time steps of the run.
    fan_out : mapping of str to array, optional
        For each consumer, the synapses that leave each neuron; needed to count synaptic operations.
    keep : bool
        Whether to keep every spike, not only counts.
    dtype : type
        Number format of what is kept.

    Attributes
    ----------
    events, spike_sum, saturated, capped : numpy.ndarray
        Counts per step, int64 ``(num_steps,)``.
    synops : dict of str to numpy.ndarray
        Synaptic operations into each consumer, int64 ``(num_steps,)``.
    data : numpy.ndarray or None
        What was received, ``(num_steps, *shape)``.
    finished : numpy.ndarray
        ``(1,)``: time steps noted so far; another process may look at it while the run goes on.
    """

    def __init__(
        self,
        shape: Shape,
        num_steps: int,
        *,
        fan_out: Mapping[str, NDArray[Any]] | None = None,
        keep: bool = False,
        dtype: type = np.int32,
    ) -> None:
        self.shape = shape
        self.fan_out = {name: fan_out_of(counts) for name, counts in (fan_out or {}).items()}
        self.finished = shared_array((1,), np.int64)
        self.events, self.spike_sum, self.saturated, self.capped = (
            shared_array((num_steps,), np.int64) for _ in range(4)
        )
        self.synops = {name: shared_array((num_steps,), np.int64) for name in self.fan_out}
        self.data = shared_array((num_steps, *shape), dtype) if keep else None

    def note(self, t: int, s: NDArray[Any], overflow: NDArray[Any]) -> None:
        """Note what was received in time step ``t``, counted from 0; steps beyond the end are not kept."""
        counts = count(s[None])[0]
        counts[[SATURATED, CAPPED]] = overflow
        self.note_counts(t, counts, s)

    def note_counts(self, t: int, counts: NDArray[Any], s: NDArray[Any]) -> None:
        """The same for one that has counted already; columns as in `lava_aug.kernels.counting`."""
        if t >= len(self.events):
            return
        self.events[t], self.spike_sum[t] = counts[EVENTS], counts[SPIKE_SUM]
        self.saturated[t], self.capped[t] = counts[SATURATED], counts[CAPPED]
        for name, fan_out in self.fan_out.items():
            self.synops[name][t] = fan_out.operations(s[None], counts[EVENTS : EVENTS + 1])[0]
        if self.data is not None:
            self.data[t] = s
        self.finished[0] = t + 1


class Tape:
    """What one port sent in every time step of a run, exactly: integers of up to 64 bits, or floats.

    Parameters
    ----------
    shape : tuple of int
        Shape of the port.
    num_steps : int
        Time steps of the run.
    """

    def __init__(self, shape: Shape, num_steps: int) -> None:
        self.shape = shape
        self._raw = shared_array((num_steps, *shape), np.int64)
        self._floats = shared_array((1,), np.int64)
        self._noted = shared_array((1,), np.int64)

    def note(self, t: int, sent: NDArray[Any]) -> None:
        """Note what was sent in time step ``t``, counted from 0."""
        self._floats[0] = sent.dtype.kind == "f"
        self._in_format()[t] = sent
        self._noted[0] = t + 1

    def _in_format(self) -> NDArray[Any]:
        return self._raw.view(np.float64) if self._floats[0] else self._raw

    @property
    def noted(self) -> int:
        """Time steps noted so far."""
        return int(self._noted[0])

    def read(self) -> NDArray[Any]:
        """What was noted, ``(num_steps, *shape)``, int64 or float64."""
        return self._in_format().copy()
