"""Threshold balancing: how large each layer's output gets on calibration images."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.models import difference
from lava_aug.conversion.signals import FloatLayer
from lava_aug.core.errors import ConversionError, InputError
from lava_aug.core.images import Progress, check_range
from lava_aug.core.inputs import Input
from lava_aug.core.network import INPUT_LEVELS
from lava_aug.core.streams import Batch, Images, Stream
from lava_aug.core.texts import brief
from lava_aug.core.walks import batches, last, that_fit

PERCENTILE = 99.9
"""Of the outputs of a layer on calibration images: its balanced threshold."""

MOST_SAMPLED, SAMPLED_BYTES = 2048, 1 << 30
"""Of a stream, so many images are kept for calibration, or those that have so many bytes."""


class Labelled(NamedTuple):
    """Images ``(B, *shape)``, their labels, if they have any, and what they are made of, if the model takes several."""

    images: NDArray[Any]
    labels: NDArray[Any] | None
    inputs: tuple[Input, ...]


def calibration_images(calibration: Images, progress: Progress | None = None) -> Labelled:
    """Calibration data: all of an array, which is not copied, and a sample of a stream (`Stream.sample`).

    Parameters
    ----------
    calibration : Images
        The data.
    progress : callable, optional
        Called with the number of images of a stream that have been read, and of all.

    Raises
    ------
    ConversionError
        If there are no images, or type, range or shapes are wrong.
    """
    return _checked(calibration, lambda stream: stream.sample(MOST_SAMPLED, SAMPLED_BYTES, progress))


def labelled_images(images: Images, inputs: tuple[Input, ...] | None = None) -> Labelled:
    """All images; parameters and errors as `calibration_images`, and ``inputs``, of which others of them are made."""
    return _checked(images, Stream.all, inputs)


def _checked(data: Images, read: Callable[[Stream], Batch], inputs: tuple[Input, ...] | None = None) -> Labelled:
    try:
        stream = Stream(data, "calibration", inputs=inputs)
        images, labels = read(stream)
        if not images.ndim:
            raise InputError(f"calibration: expected a tensor, an array or a DataLoader, found {brief(data)}")
        check_range(images, "calibration")
    except InputError as error:
        raise ConversionError(str(error)) from None
    if not len(images):
        raise ConversionError("calibration: expected at least one image, found none; a few hundred are a good number")
    if images.ndim < 2:
        raise ConversionError(f"calibration: expected shape (B, *image shape), found {images.shape}")
    return Labelled(images, labels, stream.inputs or ())


def as_intensity(images: NDArray[Any]) -> torch.Tensor:
    """A copy, float32 in [0, 1], in the usual order in memory: torch keeps another one, and models show it."""
    intensities = torch.tensor(images, dtype=torch.float32).contiguous()
    return intensities / INPUT_LEVELS if images.dtype == np.uint8 else intensities


def evenly_spaced(images: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many of the images, from the first to the last."""
    return images[np.linspace(0, len(images) - 1, min(most, len(images))).astype(np.int64)]


class TopValues:
    """Exact percentiles of streams of known length, in memory for the values above them only.

    Parameters
    ----------
    count : int
        Number of values to come, in each stream.
    percentile : float
        0 .. 100, interpolated linearly between neighbours, as `numpy.percentile` does.
    streams : int
        Number of streams that come side by side.
    """

    def __init__(self, count: int, percentile: float, streams: int = 1) -> None:
        position = percentile / 100 * (count - 1)
        self.size = count - math.floor(position)
        self.weight = position - math.floor(position)
        self.top = torch.empty(streams, 0)

    def add(self, values: torch.Tensor) -> None:
        """Take in more values, ``(streams, number)`` or, for one stream, of any shape."""
        values = values.reshape(len(self.top), -1)
        if len(values) == 1 and self.top.shape[1] == self.size:
            values = values[values > self.top[0, -1]][None]
        merged = torch.cat([self.top, values], dim=1)
        self.top = torch.topk(merged, min(self.size, merged.shape[1]), dim=1).values

    @property
    def percentile(self) -> NDArray[Any]:
        """The percentile of each stream, once all values are in."""
        low = self.top[:, -1].double()
        high = self.top[:, -2].double() if self.size > 1 else low
        return (low + (high - low) * self.weight).numpy()

    @property
    def maximum(self) -> NDArray[Any]:
        """The largest value of each stream."""
        return self.top[:, 0].double().numpy()


@dataclasses.dataclass(frozen=True)
class Range:
    """How large a layer's output gets on calibration images.

    Attributes
    ----------
    percentile, maximum : numpy.ndarray
        Of ``|output|``: one value, or one for each channel.
    lows, highs : numpy.ndarray
        The smallest and the largest of what arrives, before the activation, for each channel.
    """

    percentile: NDArray[Any]
    maximum: NDArray[Any]
    lows: NDArray[Any]
    highs: NDArray[Any]


MOST_IMAGES, CHUNK_NEURONS = 32, 1 << 25
"""Calibration images per forward pass: this number, or the number that makes this many neurons."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What `measure` looks for, and in what.

    Attributes
    ----------
    images : numpy.ndarray, shape (B, *shape)
        From `calibration_images`.
    percentile : float
        0 .. 100; 100 is the maximum.
    per_channel : bool
        Whether every channel is looked at by itself.
    batch_size : int
        Images between two calls of ``progress``.
    progress : callable, optional
        Called with the number of finished images and of all images.
    """

    images: NDArray[Any]
    percentile: float
    per_channel: bool
    batch_size: int
    progress: Progress | None = None

    def batches(self, graph: FloatGraph) -> Iterator[torch.Tensor]:
        """The images as float32 in [0, 1]; tells about them once they are done.

        How many come at once follows from the layers alone: float32 sums of one image differ in their last bits by how
        many others go through a kernel with it, and so would networks.
        """
        size = min(MOST_IMAGES, that_fit((layer.shape for layer in graph.layers), CHUNK_NEURONS))
        progress = None if self.progress is None else _every(self.batch_size, self.progress)
        return map(as_intensity, batches(self.images, size, progress))


def _every(size: int, progress: Progress) -> Progress:
    """Calls ``progress`` whenever so many more images are finished, however many are at once, and at the end."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        while told + size <= done or told < done == total:
            told = min(told + size, total)
            progress(told, total)

    return tell


def measure(graph: FloatGraph, calibration: Calibration, *, check: bool = True) -> dict[str, Range]:
    """Ranges of the outputs of all layers.

    The layers are also checked against the model itself, on the first batch, unless they have been: what has been made
    of the model must be the model.

    Raises
    ------
    ConversionError
        If an output is NaN or infinite, or the layers do not give what the model gives.
    """
    tops: dict[str, TopValues] = {}
    extremes: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    def look(layer: FloatLayer, x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(value).all():
            raise ConversionError(f"layer {layer.name!r}: output is NaN or infinite on calibration images")
        streams = value.shape[1] if calibration.per_channel else 1
        count = value[0].numel() * len(calibration.images) // streams
        top = tops.setdefault(layer.name, TopValues(count, calibration.percentile, streams))
        top.add(value.abs().transpose(0, 1) if calibration.per_channel else value.abs())
        lows, highs = (extreme.numpy() for extreme in torch.aminmax(x.transpose(0, 1).reshape(x.shape[1], -1), dim=1))
        before = extremes.get(layer.name, (lows, highs))
        extremes[layer.name] = np.minimum(lows, before[0]), np.maximum(highs, before[1])
        return value

    for index, batch in enumerate(calibration.batches(graph)):
        readout = last(look(*step) for step in graph.run(batch))
        if index == 0 and check:
            _check_faithful(graph, batch, readout)
    return {name: Range(top.percentile, top.maximum, *extremes[name]) for name, top in tops.items()}


def _check_faithful(graph: FloatGraph, batch: torch.Tensor, readout: torch.Tensor) -> None:
    """Where the layers are what was noted, but not what the model gives, that is the model's own matter."""
    apart = difference(graph.answers(batch), graph.by_name(readout), rounds=graph.rounds)
    if apart is None:
        return
    images, noted = graph.noted
    wrong = difference(noted, graph.by_name(graph.readout(images)), rounds=graph.rounds)
    reason = (
        "its operations do not: forward() gives something else from call to call, or for other images; write it without"
        if wrong is None
        else "this is a mistake of lava-aug: please report it with the model"
    )
    raise ConversionError(f"the layers made of the model differ from it {apart}; {reason}")


def usual_thresholds(balanced: NDArray[Any], measured: Range) -> NDArray[Any]:
    """Balanced thresholds; where more than the percentile of the outputs are zero, their maximum."""
    maximum = measured.maximum
    return np.where(balanced > 0, balanced, maximum if maximum.size == balanced.size else 0.0)


BINS, CANDIDATES = 2048, 64


def best_thresholds(
    graph: FloatGraph, ranges: dict[str, Range], calibration: Calibration, num_steps: int
) -> dict[str, NDArray[Any]]:
    """For neurons that fire at most once per step: the threshold that makes the least squared error.

    After T steps such a neuron stands for one of the values ``k * lambda / T``, ``k = 0 .. T``: a large lambda makes
    them coarse, a small one clips. Of `CANDIDATES` parts of the maximum the best one is taken, by the histogram of the
    outputs.

    Returns
    -------
    dict of str to numpy.ndarray
        Balanced thresholds: one value, or one for each channel.
    """
    counts = {name: torch.zeros(len(measured.maximum), BINS, dtype=torch.float64) for name, measured in ranges.items()}
    steps = (step for batch in calibration.batches(graph) for step in graph.run(batch))
    for layer, _, value in steps:
        rows = value.abs().transpose(0, 1) if calibration.per_channel else value.abs()[None]
        largest = torch.as_tensor(ranges[layer.name].maximum, dtype=torch.float32).clamp(min=1e-30)
        rows = rows.reshape(len(largest), -1)
        bins = (rows / largest[:, None] * BINS).long().clamp(max=BINS - 1)
        counts[layer.name].scatter_add_(1, bins, torch.ones_like(rows, dtype=torch.float64))
    return {
        name: ranges[name].maximum * _best_parts(histogram.numpy(), num_steps) for name, histogram in counts.items()
    }


def _best_parts(counts: NDArray[Any], num_steps: int) -> NDArray[Any]:
    """The part of the maximum with the least error, for each row of a histogram."""
    values = (np.arange(BINS) + 0.5) / BINS
    parts = np.arange(1, CANDIDATES + 1) / CANDIDATES
    expressed = np.floor(values / parts[:, None] * num_steps + 0.5).clip(0, num_steps) * parts[:, None] / num_steps
    errors = counts @ ((values - expressed) ** 2).T
    return parts[errors.argmin(axis=1)]
