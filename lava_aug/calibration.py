"""Threshold balancing: how large each layer's output gets on calibration images."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.fx

from lava_aug.errors import ConversionError, InputError
from lava_aug.images import as_numpy, check_range
from lava_aug.network import INPUT_LEVELS

Progress = Callable[[int, int], None]


def calibration_images(calibration: Any) -> torch.Tensor:
    """Calibration data as one tensor ``(B, *shape)``, uint8 or float32 in [0, 1].

    Parameters
    ----------
    calibration : tensor, array, DataLoader or other iterable of batches
        Batches may be tuples, whose first element is taken. A list or tuple is one array of images.

    Raises
    ------
    ConversionError
        If there are no images, or type, range or shapes are wrong.
    """
    try:
        if hasattr(calibration, "shape") or isinstance(calibration, (list, tuple)):
            batches = [as_numpy(calibration, "calibration")]
        elif isinstance(calibration, Iterable):
            batches = [as_numpy(b[0] if isinstance(b, (tuple, list)) else b, "calibration") for b in calibration]
        else:
            raise InputError(f"calibration: expected a tensor, an array or a DataLoader, found {calibration!r}")
        for batch in batches:
            check_range(batch, "calibration")
    except InputError as error:
        raise ConversionError(str(error)) from None
    shapes = {batch.shape[1:] for batch in batches}
    if len(shapes) > 1:
        raise ConversionError(f"calibration: batches hold images of different shapes: {sorted(shapes)}")
    if not batches or not sum(len(batch) for batch in batches if batch.ndim):
        raise ConversionError("calibration: expected at least one image, found none; some hundred are a good number")
    images = np.concatenate(batches)
    if images.ndim < 2:
        raise ConversionError(f"calibration: expected shape (B, *image shape), found {images.shape}")
    return torch.tensor(images) if images.dtype == np.uint8 else torch.tensor(images, dtype=torch.float32)


def as_intensity(images: torch.Tensor) -> torch.Tensor:
    """float32 in [0, 1]."""
    return images.to(torch.float32) / INPUT_LEVELS if images.dtype == torch.uint8 else images


class TopValues:
    """Exact percentile of a stream of known length, in memory for the values above it only.

    Parameters
    ----------
    count : int
        Number of values to come.
    percentile : float
        0 .. 100, interpolated linearly between neighbours, as `numpy.percentile` does.
    """

    def __init__(self, count: int, percentile: float) -> None:
        position = percentile / 100 * (count - 1)
        self.size = count - math.floor(position)
        self.weight = position - math.floor(position)
        self.top = torch.empty(0)

    def add(self, values: torch.Tensor) -> None:
        """Take in more values."""
        values = values.flatten()
        if len(self.top) == self.size:
            values = values[values > self.top[-1]]
        merged = torch.cat([self.top, values])
        self.top = torch.topk(merged, min(self.size, len(merged))).values

    @property
    def percentile(self) -> float:
        """The percentile, once all values are in."""
        low = self.top[-1].double()
        high = self.top[-2].double() if self.size > 1 else low
        return float(low + (high - low) * self.weight)

    @property
    def maximum(self) -> float:
        """The largest value."""
        return float(self.top[0])


class _Calibrator(torch.fx.Interpreter):
    """Runs the traced model and hands the outputs of chosen nodes on."""

    def __init__(self, module: torch.fx.GraphModule, take: dict[str, Callable[[torch.Tensor], None]]) -> None:
        super().__init__(module)
        self.extra_traceback = False  # in our messages
        self.take = take

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.take:
            self.take[n.name](value)
        return value


def balanced_thresholds(
    module: torch.fx.GraphModule,
    nodes: dict[str, str],
    images: torch.Tensor,
    *,
    percentile: float,
    batch_size: int,
    progress: Progress | None = None,
) -> dict[str, tuple[float, float]]:
    """Percentile and maximum of ``|output|`` of layers over calibration images.

    Parameters
    ----------
    module : torch.fx.GraphModule
        The traced model.
    nodes : dict of str to str
        Layer name to the name of the fx node whose output is meant.
    images : tensor, shape (B, *shape)
        From `calibration_images`.
    percentile : float
        0 .. 100; 100 is the maximum.
    batch_size : int
        Images run through the model at once.
    progress : callable, optional
        Called with the number of finished images and of all images.

    Returns
    -------
    dict of str to (float, float)
        Percentile and maximum, by layer name.

    Raises
    ------
    ConversionError
        If an output is NaN or infinite.
    """
    values: dict[str, TopValues] = {}

    def taker(layer: str) -> Callable[[torch.Tensor], None]:
        def take(output: torch.Tensor) -> None:
            if not torch.isfinite(output).all():
                raise ConversionError(f"layer {layer!r}: output is NaN or infinite on calibration images")
            size = output[0].numel() * len(images)
            values.setdefault(layer, TopValues(size, percentile)).add(output.abs())

        return take

    run = _Calibrator(module, {node: taker(layer) for layer, node in nodes.items()})
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            run.run(as_intensity(batch))
            if progress is not None:
                progress(start + len(batch), len(images))
    return {layer: (found.percentile, found.maximum) for layer, found in values.items()}
