"""The training loop of `lava_aug.finetune`: data, steps, epochs, checkpoints."""

import copy
import dataclasses
import io
import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lava_aug.conversion.calibration import as_intensity, calibration_images, evenly_spaced, labelled_images
from lava_aug.core.errors import ConversionError, FileError, InputError
from lava_aug.core.files import write_bytes
from lava_aug.core.images import Images
from lava_aug.core.inputs import Input
from lava_aug.core.results import check_labels
from lava_aug.core.streams import Stream
from lava_aug.training.students import Objective, Student

_torch: Any = torch  # which leaves the types of some functions open

Tell = Callable[[str, int, int], None]

TEMPERATURE = 2.0
"""At which the model's classes are learned from (Hinton, Vinyals, Dean, 2015, arXiv 1503.02531)."""

PRICE, FACTOR = 0.3, 1.5
"""What the logarithm of the cost weighs at first, beside a loss in nats; and by how much that changes after an epoch,
up where there is accuracy to spare, or down."""

SLACK = 2.0
"""How many times ``max_loss`` accuracy may be lower still in the beginning, for the price to go up: it comes back as
the learning rate goes down."""

FOLLOWING = 20.0
"""How far the logarithm of the price goes in the whole training where the cost is e times the budget."""

WARM_UP = 0.1
"""Part of all steps in which the learning rate goes up; then it goes down to zero along a cosine."""

HELD_OUT, MOST_HELD_OUT = 10, 5000
"""One of so many training images is for validation, unless there are others, and no more than these."""

CALIBRATION = 512
"""Training images that the model is converted with, unless there are others."""

EVALUATED = 250
"""Images that are evaluated together."""

COSTS: tuple[Objective, ...] = ("events", "operations", "energy")


@dataclasses.dataclass(frozen=True)
class Epoch:
    """Where the network is after so many epochs; costs are per image, on the images for validation.

    Attributes
    ----------
    epoch : int
        0 is the converted network.
    loss : float or None
        Mean training loss of the epoch, without the cost.
    accuracy : float
        0 .. 1.
    events, operations, energy : float
        Events of all layers, synaptic operations, and nJ, as `lava_aug.Student.cost` counts them; energy for payloads
        as wide as the converted network's.
    price : float
        The weight of the logarithm of the cost at the end of the epoch.
    """

    epoch: int
    loss: float | None
    accuracy: float
    events: float
    operations: float
    energy: float
    price: float


def least_accuracy(ann_accuracy: float, max_loss: float) -> float:
    """The accuracy, 0 .. 1, that is allowed."""
    return ann_accuracy - max_loss / 100 - 1e-9


def best_of(history: tuple[Epoch, ...], least: float, objective: Objective) -> Epoch:
    """The cheapest epoch that is accurate enough; if there is none, the most accurate one."""
    allowed = [epoch for epoch in history if epoch.accuracy >= least]
    if not allowed:
        return max(history, key=lambda epoch: epoch.accuracy)
    return min(allowed, key=lambda epoch: getattr(epoch, objective))


# Images


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Each image shifted by up to 2 pixels, its edges repeated: ``(B, C, H, W)``."""
    height, width = x.shape[2:]
    windows = F.pad(x, [2] * 4, mode="replicate").unfold(2, height, 1).unfold(3, width, 1)
    dy, dx = torch.randint(0, 5, (2, len(x)), device=x.device)
    return windows[torch.arange(len(x), device=x.device), :, dy, dx]


def flipped(x: torch.Tensor) -> torch.Tensor:
    """Half of the images mirrored, and all `shifted`."""
    mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    return shifted(torch.where(mirrored, x.flip(-1), x))


AUGMENTATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "none": None,
    "shift": shifted,
    "flip": flipped,
}
"""What the command offers for ``augment``."""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images for training, for calibration, and for validation.

    Attributes
    ----------
    images, labels : numpy.ndarray or None
        To train on; None if they come as a stream.
    stream : Images or None
        Batches of images and labels.
    calibration : numpy.ndarray
        To convert with.
    validation, expected : numpy.ndarray
        To measure accuracy and costs on, and their classes.
    inputs : tuple of Input
        Of a model that takes several.
    batch_size : int
        Images per step.
    """

    images: NDArray[Any] | None
    labels: NDArray[Any] | None
    stream: Images | None
    calibration: NDArray[Any]
    validation: NDArray[Any]
    expected: NDArray[Any]
    inputs: tuple[Input, ...]
    batch_size: int

    @staticmethod
    def of(
        train_data: Images, labels: Any, calibration: Images | None, validation: Images | None, batch_size: int
    ) -> "TrainingData":
        """Sort out what was given; InputError if something is missing."""
        if _is_stream(train_data):
            return TrainingData._streamed(train_data, calibration, validation, batch_size)
        images, own, inputs = _read(labelled_images, "train_data", train_data)
        y = check_labels(labels, (len(images),), own)
        if validation is None:
            each = max(HELD_OUT, -(-len(images) // MOST_HELD_OUT))
            held_out = np.arange(len(images)) % each == each - 1
            if not held_out.any():
                raise InputError(
                    f"train_data: expected {each} images or more, found {len(images)}; or give images for validation"
                )
            x, expected = images[held_out], y[held_out]
            images, y = images[~held_out], y[~held_out]
        else:
            x, expected = _validation(validation, inputs)
        shown = evenly_spaced(images, CALIBRATION) if calibration is None else _calibration(calibration)
        return TrainingData(images, y, None, shown, x, expected, inputs, batch_size)

    @staticmethod
    def _streamed(
        train_data: Images, calibration: Images | None, validation: Images | None, batch_size: int
    ) -> "TrainingData":
        if validation is None:
            raise InputError("validation: expected labelled images, as train_data is a stream, found none")
        images, _, inputs = _read(calibration_images, "train_data", train_data if calibration is None else calibration)
        x, expected = _validation(validation, inputs)
        return TrainingData(None, None, train_data, images, x, expected, inputs, batch_size)

    @property
    def steps(self) -> int | None:
        """Batches of an epoch, if that is known before the first one has been read."""
        if self.images is not None:
            return max(1, len(self.images) // self.batch_size)
        count = Stream(cast(Images, self.stream), "train_data").count
        return None if count is None else max(1, count // self.batch_size)

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One epoch: images in [0, 1] and labels; arrays in another order each time, a stream in its own."""
        if self.images is not None and self.labels is not None:
            order = torch.randperm(len(self.images)).numpy()
            for rows in np.array_split(order, self.steps or 1):
                yield as_intensity(self.images[rows]), torch.tensor(self.labels[rows])
            return
        stream = Stream(cast(Images, self.stream), "train_data", inputs=self.inputs or None)
        for images, labels in stream.batches(self.batch_size):
            if labels is None:
                raise InputError("train_data: expected batches of images and integer labels, found no labels")
            yield as_intensity(images), torch.tensor(labels)


def _is_stream(data: Any) -> bool:
    """Whether images come in batches, such as from a DataLoader, which may give others in every epoch."""
    stream = Stream(data, "train_data")
    return stream.whole is None and not hasattr(data, "__getitem__")


def _read(read: Callable[[Any], Any], where: str, data: Images) -> Any:
    try:
        return read(data)
    except ConversionError as error:
        raise InputError(str(error).replace("calibration", where, 1)) from None


def _calibration(calibration: Images) -> NDArray[Any]:
    return _read(calibration_images, "calibration", calibration).images


def _validation(validation: Images, inputs: tuple[Input, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    images, labels, _ = _read(lambda data: labelled_images(data, inputs or None), "validation", validation)
    if labels is None:
        raise InputError("validation: expected images with integer labels, found no labels")
    return images, labels


# Training


@dataclasses.dataclass
class TrainingRun:
    """A student that learns, epoch after epoch.

    Attributes
    ----------
    student : Student
        What learns.
    teacher : callable or None
        Logits of the model, for images in [0, 1].
    data : TrainingData
        The images.
    ann_accuracy, max_loss : float
        The accuracy, 0 .. 1, of the model, and how far below it is allowed, in percentage points.
    settings : mapping
        Options of the run, for a checkpoint to be recognised by: ``epochs``, ``objective``, ``budget``,
        ``learning_rate``, ``seed`` among them.
    augment : callable or None
        Changes images.
    checkpoint : Path or None
        Where every epoch is kept.
    say : callable
        Told where the training is.
    """

    student: Student
    teacher: Callable[[torch.Tensor], torch.Tensor] | None
    data: TrainingData
    ann_accuracy: float
    max_loss: float
    settings: Mapping[str, Any]
    augment: Callable[[torch.Tensor], torch.Tensor] | None
    checkpoint: Path | None
    say: Tell

    def __post_init__(self) -> None:
        self.objective: Objective = self.settings["objective"]
        self.epochs: int = self.settings["epochs"]
        self.optimizer = torch.optim.Adam(
            [parameter for parameter in self.student.parameters() if parameter.requires_grad],
            self.settings["learning_rate"],
        )
        self.price, self.step, self.steps = PRICE, 0, self.data.steps
        self.history: list[Epoch] = []
        self.best_state: dict[str, Any] = {}

    def finished(self) -> tuple[Epoch, ...]:
        """The history, when the student is what it was after the best epoch."""
        if not self._resumed():
            self._ended(None)
        while len(self.history) <= self.epochs:
            with _torch.random.fork_rng(devices=[]):
                _torch.manual_seed(self.settings["seed"] + len(self.history))
                loss = self._epoch()
            self._follow_accuracy()
            self._ended(loss)
        self.student.load_state_dict(self.best_state)
        return tuple(self.history)

    # Steps

    def _epoch(self) -> float:
        losses: list[float] = []
        for images, labels in self.data.batches():
            losses.append(self._learn(images, labels))
            self.step += 1
            self.say(self._told(), self.step, self._total)
        self.steps = len(losses)  # known now, of a stream, too
        if not losses:
            raise InputError(
                "train_data: expected batches in every epoch, found none; a generator gives them only once"
            )
        return math.fsum(losses) / len(losses)

    def _learn(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        device = next(self.student.buffers()).device
        x, y = images.to(device), labels.to(device)
        x = x if self.augment is None else self.augment(x).clamp(0, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings["learning_rate"] * self._rate()
        logits = self.student(x)
        loss = F.cross_entropy(logits, y)
        if self.teacher is not None:
            loss = (loss + distillation(logits, self.teacher(x))) / 2
        cost = self.student.cost(self.objective).log()
        self.optimizer.zero_grad()
        cast(Any, loss + self.price * cost).backward()
        self.optimizer.step()
        budget = self.settings["budget"]
        if budget is not None:
            self.price *= math.exp(FOLLOWING / self._total * max(-1.0, min(1.0, float(cost) - math.log(budget))))
        return loss.item()

    @property
    def _total(self) -> int:
        """Steps of all epochs; of a stream of unknown length, at first those so far."""
        return (self.steps or self.step + 1) * self.epochs

    def _rate(self) -> float:
        """The learning rate, as a part of the largest: up, and down along a cosine."""
        done = min(1.0, (self.step + 1) / self._total)
        return done / WARM_UP if done < WARM_UP else (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2

    def _follow_accuracy(self) -> None:
        """Save more where accuracy is to spare. In the last epoch, nothing can be made good again."""
        if self.settings["budget"] is None and len(self.history) > 1:
            left = 1 - (len(self.history) - 1) / self.epochs
            least = least_accuracy(self.ann_accuracy, self.max_loss * (1 + SLACK * left))
            self.price *= FACTOR if self.history[-1].accuracy >= least else 1 / FACTOR

    # Epochs

    def _ended(self, loss: float | None) -> None:
        self.history.append(self._evaluated(loss))
        least = least_accuracy(self.ann_accuracy, self.max_loss)
        if best_of(tuple(self.history), least, self.objective) is self.history[-1]:
            self.best_state = copy.deepcopy(self.student.state_dict())
        if self.checkpoint is not None:
            self._keep(self.checkpoint)

    @torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
    def _evaluated(self, loss: float | None) -> Epoch:
        images, labels = self.data.validation, self.data.expected
        device, right, costs = next(self.student.buffers()).device, 0, dict.fromkeys(COSTS, 0.0)
        for start in range(0, len(images), EVALUATED):
            x = as_intensity(images[start : start + EVALUATED]).to(device)
            found = self.student(x).argmax(1).cpu().numpy()
            right += int((found == labels[start : start + EVALUATED]).sum())
            for kind in COSTS:
                costs[kind] += float(self.student.cost(kind)) * len(x)
        means = {kind: total / len(images) for kind, total in costs.items()}
        return Epoch(len(self.history), loss, right / len(images), price=self.price, **means)

    def _told(self) -> str:
        before = self.history[-1]
        where = f"epoch {len(self.history)} of {self.epochs}"
        return f"{where}; before {100 * before.accuracy:.2f} %, {before.events:,.0f} events"

    # Checkpoints

    def _keep(self, path: Path) -> None:
        state = {
            "settings": json.dumps(self.settings),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "student": self.student.state_dict(),
            "best": self.best_state,
            "optimizer": self.optimizer.state_dict(),
            "price": self.price,
            "step": self.step,
            "steps": self.steps,
        }
        buffer = io.BytesIO()
        _torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def _resumed(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return False
        where = f"checkpoint {str(self.checkpoint)!r}"
        try:
            state = _torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            settings = json.loads(state["settings"])
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise FileError(f"{where}: cannot be read ({type(error).__name__}); delete it to start anew") from error
        if settings != json.loads(json.dumps(self.settings)):
            changed = sorted(
                name for name in settings | dict(self.settings) if settings.get(name) != self.settings.get(name)
            )
            raise FileError(f"{where}: is of a run with another {', '.join(changed)}; delete it to start anew")
        try:
            self.student.load_state_dict(state["student"])
        except RuntimeError as error:
            raise FileError(f"{where}: is of another network; delete it to start anew") from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.best_state, self.price = state["best"], state["price"]
        self.step, self.steps = state["step"], state["steps"]
        return True


def distillation(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """``T**2 * KL(softmax(wanted / T), softmax(logits / T))``, T the `TEMPERATURE`, on average per image."""
    found, target = (F.log_softmax(values / TEMPERATURE, 1) for values in (logits, wanted))
    return TEMPERATURE**2 * F.kl_div(found, target, reduction="batchmean", log_target=True)
