"""The paper's comparison: one model, several conversions, accuracy and events over time steps."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lava_aug.calibration import as_intensity, calibration_images
from lava_aug.conversion import convert
from lava_aug.errors import InputError
from lava_aug.images import as_numpy
from lava_aug.network import Network
from lava_aug.results import Output
from lava_aug.simulator import simulate

STEPS = (1, 2, 4, 8, 16, 32)

METHODS: dict[str, dict[str, Any]] = {
    "rate": {"method": "rate"},
    "TerMapping": {"method": "termapping"},
    "AugMapping": {"method": "augmapping"},
}
"""What is compared by default: title to the arguments of `convert`."""

TOLERANCE = 0.005
"""How far below the ANN's accuracy a network may be to count as having reached it."""


STARS = "* until within 0.5 points of the ANN for good; events per image, without the input's"


@dataclasses.dataclass(frozen=True)
class Curve:
    """Accuracy and events of anything that takes time steps, ours or not.

    Attributes
    ----------
    title : str
        What it is called in tables.
    accuracy : numpy.ndarray
        After every step, 0 .. 1.
    events : numpy.ndarray
        Mean events per image up to every step, input left out.
    """

    title: str
    accuracy: np.ndarray
    events: np.ndarray

    def first_step(self, accuracy: float) -> int | None:
        """The first step from which on the accuracy is never below the given one; None if there is none."""
        below = np.flatnonzero(self.accuracy < accuracy)
        step = int(below[-1]) + 2 if len(below) else 1
        return step if step <= len(self.accuracy) else None


@dataclasses.dataclass(frozen=True)
class Row(Curve):
    """One conversion in a comparison.

    Attributes
    ----------
    network : Network
        The converted network.
    """

    network: Network


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The ANN's accuracy, and one row for each conversion."""

    ann_accuracy: float
    num_images: int
    rows: tuple[Row, ...]

    def cells(self, steps: Sequence[int] = STEPS) -> list[list[str]]:
        """The comparison as a table of texts, the first line being its head.

        Accuracies are in percent. The starred columns say after how many steps the accuracy has come within 0.5 points
        of the ANN's for good, and how many events an image has cost by then; `STARS` says so below a table.
        """
        goal = self.ann_accuracy - TOLERANCE
        head = ["accuracy (%)", *map(str, steps), "steps*", "events*"]
        ann = ["ANN", *[_percent(self.ann_accuracy)] * len(steps), "-", "-"]
        return [head, ann, *(self._cells(row, steps, goal) for row in self.rows)]

    def _cells(self, row: Row, steps: Sequence[int], goal: float) -> list[str]:
        first = row.first_step(goal)
        last = len(row.accuracy)
        until = [f"> {last}", "-"] if first is None else [str(first), f"{row.events[first - 1]:,.0f}"]
        return [row.title, *(_percent(row.accuracy[step - 1]) if step <= last else "-" for step in steps), *until]


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}"


def ann_logits(model: nn.Module, images: Any, batch_size: int = 100) -> np.ndarray:
    """The model's output on images, uint8 or in [0, 1], in evaluation mode: ``(B, ...)`` float32."""
    x = calibration_images(images)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return np.concatenate([model(as_intensity(batch)).numpy() for batch in x.split(batch_size)])
    finally:
        model.train(was_training)


def compare(
    model: nn.Module,
    calibration: Any,
    images: Any,
    labels: Any,
    *,
    num_steps: int = STEPS[-1],
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Convert a model in several ways and simulate all of them on the same images.

    Parameters
    ----------
    model : torch.nn.Module
        The trained network.
    calibration : tensor, array or DataLoader
        As for `convert`.
    images : array or tensor, shape (B, *shape)
        As for `simulate`.
    labels : array, shape (B,)
        True classes.
    num_steps : int
        Time steps per image.
    methods : mapping
        Title of each row to the arguments of `convert`; default rate, TerMapping, AugMapping as they are by default.
    progress : callable, optional
        Called with the row's title, the number of finished images and of all images.

    Returns
    -------
    Comparison
        Accuracy and events after every step.

    Raises
    ------
    ConversionError, InputError
        As `convert` and `simulate`.
    """
    expected = as_numpy(labels, "labels")
    rows = []
    predicted = ann_logits(model, images).argmax(axis=1)
    if predicted.shape != expected.shape:
        raise InputError(f"labels: expected shape {predicted.shape}, found {expected.shape}")
    for title, arguments in methods.items():
        net = convert(model, calibration, num_steps=num_steps, **arguments)
        report = None if progress is None else _titled(progress, title)
        out: Output = simulate(net, images, progress=report)
        rows.append(Row(title, out.accuracy(expected), out.events_per_image(), net))
    return Comparison(float((predicted == expected).mean()), len(expected), tuple(rows))


def _titled(progress: Callable[[str, int, int], None], title: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(title, done, total)
