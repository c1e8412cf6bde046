"""Collecting what a simulation gives, step by step."""

from typing import TYPE_CHECKING

import numpy as np

from lava_aug.network import Network
from lava_aug.results import Output, no_counts
from lava_aug.simulation.counting import CAPPED, EVENTS, SATURATED, SPIKE_SUM
from lava_aug.simulation.early_exit import margins

if TYPE_CHECKING:
    import torch


class Log:
    """Collects what an `Output` holds, step by step, in numpy.

    Attributes
    ----------
    rows : slice or numpy.ndarray
        The images that are still running: what is noted is theirs, in this order.
    steps : numpy.ndarray
        Time steps that each image takes, int64 ``(B,)``.
    """

    def __init__(self, net: Network, num_steps: int, num_images: int, record: tuple[str, ...]) -> None:
        self.net = net
        size = (num_steps, num_images)
        self.counts = no_counts(net, *size)
        self.v = np.zeros((*size, *net.shapes[net.readout.name]), np.float32 if net.is_float else np.int64)
        self.recorded = {name: np.zeros((*size, *net.shapes[name]), np.int32) for name in record}
        self.rows: slice | np.ndarray = slice(None)
        self.steps = np.full(num_images, num_steps)

    def spikes(self, t: int, name: str, counts: np.ndarray, s: "torch.Tensor") -> None:
        """Counts per image, and the spikes themselves, if they are wanted."""
        self.counts["events"][name][t, self.rows] = counts[:, EVENTS]
        self.counts["spike_sum"][name][t, self.rows] = counts[:, SPIKE_SUM]
        if name in self.recorded:
            self.recorded[name][t, self.rows] = s.cpu().numpy()

    def synops(self, t: int, name: str, operations: np.ndarray) -> None:
        """Per image: synaptic operations into a layer, over one of its connections."""
        self.counts["synops"][name][t, self.rows] += operations

    def overflow(self, t: int, name: str, counts: np.ndarray) -> None:
        """Per image: neurons whose potential was clipped, and whose coefficient was cut."""
        self.counts["saturated"][name][t, self.rows] = counts[:, SATURATED]
        self.counts["capped"][name][t, self.rows] = counts[:, CAPPED]

    def readout(self, t: int, v: np.ndarray) -> None:
        """Potentials of the readout after a step."""
        self.v[t, self.rows] = v

    def stop(self, t: int, margin: float) -> np.ndarray | None:
        """Stop images whose largest logit is so far ahead of the second: which of the rows go on; None if all do."""
        running = np.arange(len(self.steps))[self.rows]
        logits = self.v[t, running] * (self.net.readout.quantum / (t + 1))
        goes_on = margins(logits.reshape(len(running), -1)) < margin
        if goes_on.all():
            return None
        self.steps[running[~goes_on]] = t + 1
        self.rows = running[goes_on]
        self.v[t + 1 :] = self.v[t]  # those that go on overwrite theirs
        return goes_on

    def output(self) -> Output:
        """Everything collected."""
        stops = self.steps if (self.steps < len(self.v)).any() else None
        return Output(network=self.net, v=self.v, spikes=self.recorded, stops=stops, **self.counts)
