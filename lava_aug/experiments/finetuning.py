"""Training a converted network on, so that it sends less and loses no accuracy: `finetune`."""

import dataclasses
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.calibration import as_intensity, evenly_spaced
from lava_aug.conversion.converter import checked_normalization
from lava_aug.conversion.models import evaluation_copy
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.core.errors import ConversionWarning, InputError
from lava_aug.core.files import check_output
from lava_aug.core.images import Images
from lava_aug.core.network import Network
from lava_aug.core.normalization import Normalization
from lava_aug.core.results import check_labels
from lava_aug.core.spec import is_int, is_number
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.experiments.running import ann_logits
from lava_aug.experiments.training_data import TrainingData
from lava_aug.experiments.training_run import Epoch, Tell, TrainingRun, best_of, least_accuracy
from lava_aug.simulation.planning import with_fitting_payloads
from lava_aug.simulation.simulator import simulate
from lava_aug.training.students import Objective, Student, trainable

CHECKED = 100
"""Images on which the network is compared with what was trained."""


@dataclasses.dataclass(frozen=True, repr=False)
class Finetuned(Tabular):
    """The result of `finetune`; `str` returns a table of its epochs.

    Attributes
    ----------
    network : Network
        That of the best epoch.
    ann_accuracy : float
        The model's own accuracy on the same images.
    max_loss : float
        The allowed loss, in percentage points.
    objective : {"events", "operations", "energy"}
        What was to be saved.
    history : tuple of Epoch
        All epochs, the converted network first.
    """

    network: Network
    ann_accuracy: float
    max_loss: float
    objective: Objective
    history: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The cheapest allowed epoch; if there is none, the most accurate one."""
        return best_of(self.history, self._goal, self.objective)

    @property
    def reached(self) -> bool:
        """Whether `best` is as accurate as requested."""
        return self.best.accuracy >= self._goal

    @property
    def _goal(self) -> float:
        return least_accuracy(self.ann_accuracy, self.max_loss)

    @property
    def saved(self) -> float:
        """How many times cheaper `best` is than the converted network."""
        return getattr(self.history[0], self.objective) / max(getattr(self.best, self.objective), 1e-30)

    def _facts(self) -> str:
        found, miss = self.best, "" if self.reached else f", more than {self.max_loss:g} points below the ANN"
        return (
            f"{counted(len(self.history) - 1, 'epoch')}, accuracy {100 * found.accuracy:.2f} %{miss}, "
            f"{found.events:,.0f} events per image, {self.saved:.1f} times less {self.objective} than converted"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; without the network."""
        return {
            "ann_accuracy": self.ann_accuracy,
            "max_loss": self.max_loss,
            "objective": self.objective,
            "reached": self.reached,
            "best": self.best.epoch,
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
        }

    def tables(self) -> tuple[Table]:
        """Its epochs."""
        head = ["epoch", "accuracy (%)", "events", "operations", "energy (nJ)", "price", ""]
        rows = [
            [
                str(epoch.epoch) if epoch.epoch else "converted",
                f"{100 * epoch.accuracy:.2f}",
                *(f"{value:,.0f}" for value in (epoch.events, epoch.operations)),
                f"{epoch.energy:,.1f}",
                f"{epoch.price:.2g}" if epoch.epoch else "",
                "best" if epoch == self.best else "",
            ]
            for epoch in self.history
        ]
        aim = f"ANN {100 * self.ann_accuracy:.2f} %, at most {self.max_loss:g} points less"
        return (Table(head, rows, f"{aim}, least {self.objective}"),)


def finetune(
    model: Model,
    train_data: Images,
    calibration: Images | None = None,
    labels: Any = None,
    *,
    validation: Images | None = None,
    num_steps: int = 1,
    resolution: float = 1 / 2,
    weight_bits: int = 8,
    epochs: int = 4,
    objective: Objective = "energy",
    max_loss: float = 0.5,
    budget: float | None = None,
    teacher: bool = True,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    normalize: tuple[Any, Any] | Normalization | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Tell | None = None,
    **options: Any,
) -> Finetuned:
    """Convert a model, and train the network on, so that it costs less and loses no accuracy.

    It is trained in the integers in which it will run (`lava_aug.trainable`). With the cross entropy of the labels and,
    as a teacher, of the model's classes, each half of it, the loss is ::

        loss = cross_entropy + price * log(cost)

    so that one percent less costs the same accuracy everywhere. After each epoch the price goes up where the accuracy
    is within ``max_loss`` (in the beginning, three times that), and down where it is not; with a ``budget`` it follows
    the cost in every step instead.

    Parameters
    ----------
    model : torch.nn.Module or path
        The trained network, with class logits ``(B, classes)``.
    train_data : Images
        Training images. Arrays and data sets are read into memory and shuffled; a DataLoader or another iterable of
        (images, labels), which may change them at random, is read anew in every epoch.
    calibration : Images, optional
        As for `lava_aug.convert`; default 512 of the training images.
    labels : array, shape (B,), optional
        Classes of the training images; default those that come with them.
    validation : Images, optional
        Labelled images on which accuracy and costs are measured; default one tenth of the training images, at most
        5,000, which are not trained on.
    num_steps : int
        Time steps per image.
    resolution : float
        Threshold / balanced threshold to start from, as for `lava_aug.convert`.
    weight_bits : int
        Bit width of the weights, 2 .. 16.
    epochs : int
        Passes over the training images.
    objective : {"events", "operations", "energy"}
        What is to be saved: see `lava_aug.Student.cost`.
    max_loss : float
        How far the network's accuracy may be below the model's, in percentage points.
    budget : float, optional
        The cost per image that is enough, in the objective's own unit.
    teacher : bool
        Whether to learn from the model's classes, too.
    learning_rate : float
        Adam's largest one; it goes up in the first tenth of all steps, and then down to zero.
    batch_size : int
        Images per step.
    augment : callable, optional
        Changes a batch of training images, ``(B, *shape)`` floating point in [0, 1], at random; `lava_aug.experiments`
        has some (`AUGMENTATIONS`).
    normalize : (mean, std), optional
        As for `lava_aug.convert`.
    checkpoint : path, optional
        A file that is written after every epoch, and from which an interrupted run goes on.
    seed : int
        Of the order of the images and of what is random in ``augment``.
    device : str or torch.device
        Where to compute.
    progress : callable, optional
        Called with a description of where the training is, the number of finished steps, and their total.
    **options
        Further options of `lava_aug.convert`.

    Returns
    -------
    Finetuned
        The network of the best epoch, which gives in the simulator what was trained, and the history.

    Raises
    ------
    InputError
        If images, labels or options are invalid, or the model gives no class logits.
    ConversionError, NetworkError
        As `lava_aug.trainable`.
    FileError
        If the checkpoint cannot be read or written, or is of another run.

    Warns
    -----
    ConversionWarning
        As `lava_aug.convert`; or if potentials or spikes of the network exceed their bits.
    """
    _check(epochs=epochs, batch_size=batch_size)
    _check_numbers(max_loss, learning_rate, budget, objective)
    if checkpoint is not None:
        check_output(checkpoint)
    data = TrainingData.of(train_data, labels, calibration, validation, batch_size)
    module = evaluation_copy(as_module(model, data.inputs))
    converted = {"num_steps": num_steps, "resolution": resolution, "weight_bits": weight_bits}
    student = trainable(module, data.calibration, normalize=normalize, **converted, **options).to(device)
    logits = ann_logits(module, data.validation, normalize=normalize)
    if logits.ndim != 2:
        raise InputError(f"model: expected class logits (B, classes), found outputs of shape {logits.shape[1:]}")
    check_labels(data.expected, logits.shape[:1])
    accuracy = float((logits.argmax(1) == data.expected).mean())
    transform = checked_normalization(normalize, data.validation.shape[1])
    run = TrainingRun(
        student=student,
        teacher=_teacher(module.to(device), transform) if teacher else None,
        data=data,
        ann_accuracy=accuracy,
        max_loss=max_loss,
        settings={
            "epochs": epochs, "objective": objective, "max_loss": max_loss, "budget": budget, "teacher": teacher,
            "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed, **converted,
        },
        augment=augment,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        say=progress or _say_nothing,
    )  # fmt: skip
    history = run.finished()
    return Finetuned(_checked(student, data.validation), accuracy, max_loss, objective, history)


def _teacher(module: nn.Module, transform: Normalization | None) -> Callable[[torch.Tensor], torch.Tensor]:
    @torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
    def logits(x: torch.Tensor) -> torch.Tensor:
        return module(x if transform is None else transform(x))

    return logits


def _checked(student: Student, images: NDArray[Any]) -> Network:
    """The student's network, with payloads for these images; a warning if it does not give what the student does."""
    net = with_fitting_payloads(student.network(), images)
    some = evenly_spaced(images, CHECKED)
    with torch.no_grad():
        student(as_intensity(some).to(student.input_quantum.device))
    if not np.array_equal(student.v.cpu().numpy(), simulate(net, some).v[-1]):
        warnings.warn(
            "finetune: potentials or spikes exceed their bits, so the network does not compute what was trained; use a "
            "coarser resolution, or fewer time steps",
            ConversionWarning,
            stacklevel=3,
        )
    return net


def _say_nothing(text: str, done: int, total: int) -> None:
    del text, done, total


def _check(**counts: Any) -> None:
    for name, count in counts.items():
        if not is_int(count) or count < 1:
            raise InputError(f"{name}: expected an integer of at least 1, found {count!r}")


def _check_numbers(max_loss: Any, learning_rate: Any, budget: Any, objective: Any) -> None:
    if not is_number(max_loss) or not 0 <= max_loss <= 100:
        raise InputError(f"max_loss: expected percentage points from 0 to 100, found {max_loss!r}")
    for name, value in (("learning_rate", learning_rate), ("budget", 1.0 if budget is None else budget)):
        if not is_number(value) or not 0 < value < math.inf:
            raise InputError(f"{name}: expected a positive number, found {value!r}")
    if objective not in get_args(Objective):
        raise InputError(f"objective: expected one of {', '.join(get_args(Objective))}, found {objective!r}")
