"""Collecting the results of a simulation, step by step."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.network import Network
from lava_aug.core.results import Output, no_counts
from lava_aug.kernels.counting import CAPPED, EVENTS, SATURATED, SPIKE_SUM
from lava_aug.simulation.early_exit import margins

if TYPE_CHECKING:
    import torch


class Log:
    """Collects what an `Output` holds, step by step, in numpy.

    Parameters
    ----------
    net : Network
        The network that runs.
    num_steps, num_images : int
        How long, and for how many.
    record : tuple of str
        Layers whose spikes to keep.
    read_after : numpy.ndarray, optional
        After which steps to keep the readout, counted from 1; default all.
    summed : bool
        Whether to keep counts summed over the images only.

    Attributes
    ----------
    rows : slice or numpy.ndarray
        The images that are still running: what is noted is theirs, in this order.
    steps : numpy.ndarray
        Time steps that each image takes, int64 ``(B,)``.
    """

    def __init__(
        self,
        net: Network,
        num_steps: int,
        num_images: int,
        record: tuple[str, ...] = (),
        read_after: NDArray[Any] | None = None,
        *,
        summed: bool = False,
    ) -> None:
        self.net, self.num_steps, self.read_after, self.summed = net, num_steps, read_after, summed
        self.counts: dict[str, Any] = no_counts(net, num_steps) if summed else no_counts(net, num_steps, num_images)
        self.kept = {
            step: row for row, step in enumerate(range(1, num_steps + 1) if read_after is None else read_after)
        }
        shape = net.shapes[net.readout.name]
        self.v = np.zeros((len(self.kept), num_images, *shape), np.float32 if net.is_float else np.int64)
        self.latest = np.zeros((num_images, *shape), self.v.dtype)
        self.recorded = {name: np.zeros((num_steps, num_images, *net.shapes[name]), np.int32) for name in record}
        self.rows: slice | NDArray[Any] = slice(None)
        self.steps, self.done = np.full(num_images, num_steps), 0

    def _count(self, t: int, field: str, name: str, counts: NDArray[Any]) -> None:
        """Add counts per image."""
        held = self.counts[field][name]
        if self.summed:
            held[t] += counts.sum()
        else:
            held[t, self.rows] += counts

    def spikes(self, t: int, name: str, counts: NDArray[Any], s: "torch.Tensor") -> None:
        """Counts per image, and the spikes themselves, if they are wanted."""
        self._count(t, "events", name, counts[:, EVENTS])
        self._count(t, "spike_sum", name, counts[:, SPIKE_SUM])
        if name in self.recorded:
            self.recorded[name][t, self.rows] = s.cpu().numpy()

    def synops(self, t: int, name: str, operations: NDArray[Any]) -> None:
        """Per image: synaptic operations into a layer, over one of its connections."""
        self._count(t, "synops", name, operations)

    def overflow(self, t: int, name: str, counts: NDArray[Any]) -> None:
        """Per image: neurons whose potential was clipped, and whose coefficient was cut."""
        self._count(t, "saturated", name, counts[:, SATURATED])
        self._count(t, "capped", name, counts[:, CAPPED])

    def readout(self, t: int, v: NDArray[Any]) -> None:
        """Potentials of the readout after a step."""
        self.done, self.latest[self.rows] = t + 1, v
        if t + 1 in self.kept:
            self.v[self.kept[t + 1]] = self.latest

    def stop(self, t: int, margin: float) -> NDArray[Any] | None:
        """Stop images whose largest logit is so far ahead of the second: which of the rows go on; None if all do."""
        running = np.arange(len(self.steps))[self.rows]
        logits = self.latest[running] * (self.net.readout.quantum / (t + 1))
        goes_on = margins(logits.reshape(len(running), -1)) < margin
        if goes_on.all():
            return None
        self.steps[running[~goes_on]] = t + 1
        self.rows = running[goes_on]
        return goes_on

    def output(self) -> Output:
        """Everything collected."""
        self.v[[row for step, row in self.kept.items() if step > self.done]] = self.latest  # of images that all stopped
        stops = self.steps if (self.steps < self.num_steps).any() else None
        kept: dict[str, Any] = {"spikes": self.recorded, "stops": stops, "read_after": self.read_after}
        return Output(network=self.net, v=self.v, **kept, **self.counts)
