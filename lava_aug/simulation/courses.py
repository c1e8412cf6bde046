"""The course of a simulation: the options of `simulate`, early exit, and collecting the results step by step.

An image whose prediction is clear after a few steps need not be presented for all of them.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.fixed_point import is_iterable
from lava_aug.core.images import check_num_steps, check_record
from lava_aug.core.network import Network
from lava_aug.core.results import Output, check_one_head, no_counts
from lava_aug.core.spec import is_int, is_number
from lava_aug.core.texts import brief
from lava_aug.kernels.counting import CAPPED, EVENTS, SATURATED, SPIKE_SUM

if TYPE_CHECKING:
    import torch


Presentation = Literal["constant", "first"]
"""How images come in: in every step alike, or ``num_steps`` times as strong in the first step, and then nothing."""

Counts = Literal["image", "sum"]
"""Whether counts are kept for each image, or summed over the images."""


class Course(NamedTuple):
    """What becomes of a batch: steps, layers to record, how images are presented, what ends them, and what is kept."""

    num_steps: int
    record: tuple[str, ...] = ()
    presentation: Presentation = "constant"
    stop_when: float | None = None
    summed: bool = False
    read_after: NDArray[Any] | None = None


def checked_course(
    net: Network,
    num_steps: int | None = None,
    record: bool | str | Iterable[str] = False,
    *,
    presentation: Any = "constant",
    stop_when: Any = None,
    counts: Any = "image",
    readouts: Any = "all",
) -> Course:
    """The course for what `simulate` was given; InputError if that is not usable."""
    steps = check_num_steps(net, num_steps)
    return Course(
        steps,
        check_record(net, record),
        _check_choice("presentation", presentation, Presentation),
        _check_margin(net, stop_when),
        _check_choice("counts", counts, Counts) == "sum",
        _check_readouts(readouts, steps),
    )


def _check_choice(name: str, value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise InputError(f"{name}: expected one of {', '.join(get_args(choices))}, found {value!r}")
    return value


def _check_readouts(readouts: Any, num_steps: int) -> NDArray[Any] | None:
    """The steps after which readouts are kept; None for all."""
    if isinstance(readouts, str) and readouts in ("all", "last"):
        return {"all": None, "last": np.array([num_steps])}[readouts]
    steps: list[Any] = list(readouts) if is_iterable(readouts) and not isinstance(readouts, str) else []
    if not steps or not all(is_int(step) and 1 <= step <= num_steps for step in steps) or steps != sorted(set(steps)):
        raise InputError(
            f"readouts: expected 'all', 'last', or ascending steps from 1 to {num_steps}, found {brief(readouts)}"
        )
    return np.array(steps)


def _check_margin(net: Network, margin: Any) -> float | None:
    if margin is None:
        return None
    check_one_head(net)
    if not is_number(margin) or margin <= 0:
        raise InputError(f"stop_when: expected a positive number, found {margin!r}")
    classes, *rest = net.shapes[net.readout.name]
    if classes < 2 or math.prod(rest) > 1:
        raise InputError(f"stop_when: expected a readout of two classes or more, found shape {(classes, *rest)}")
    return float(margin)


class Exit(NamedTuple):
    """What a margin gives: each image ends after the first step in which its margin is at least that large.

    Attributes
    ----------
    margin : float
        Largest minus second largest logit, in the ANN's units.
    mean_steps : float
        Time steps per image.
    accuracy : float
        0 .. 1, of each image's prediction when it ends.
    """

    margin: float
    mean_steps: float
    accuracy: float


def margins(logits: NDArray[Any]) -> NDArray[Any]:
    """How far the largest logit is ahead of the second largest: ``(..., classes) -> (...)``; at least two classes."""
    ordered = np.partition(logits, -2, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


def early_exits(margins: NDArray[Any], right: NDArray[Any], thresholds: Iterable[float]) -> tuple[Exit, ...]:
    """What ending early would give, for several margins.

    With ``t_i`` the first step in which image i has ``margins[t_i, i] >= threshold``, and ``T`` if there is none, the
    mean number of steps is that of ``t_i``, and the accuracy that of ``right[t_i, i]``.

    Parameters
    ----------
    margins : numpy.ndarray, shape (T, B)
        Of every image after every step.
    right : numpy.ndarray, bool, shape (T, B)
        Whether the prediction is right.
    thresholds : iterable of float
        Margins to try.

    Returns
    -------
    tuple of Exit
        One for each threshold, in their order.
    """
    images, last = np.arange(margins.shape[1]), len(margins) - 1
    wide = margins.astype(np.float64)  # a threshold must not be rounded to float32
    points: list[Exit] = []
    for threshold in thresholds:
        enough = wide >= threshold
        stops = np.where(enough.any(axis=0), enough.argmax(axis=0), last)
        points.append(Exit(float(threshold), float(stops.mean() + 1), float(right[stops, images].mean())))
    return tuple(points)


def margins_to_try(margins: NDArray[Any], count: int = 20) -> NDArray[Any]:
    """Thresholds that end images at many different steps: margins that occurred, at even distances among all."""
    return np.unique(np.quantile(margins, np.linspace(0, 1, count), method="lower"))


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
