"""The training loop of `lava_aug.finetune`: steps, epochs, checkpoints."""

import copy
import dataclasses
import io
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F

from lava_aug.conversion.calibration import as_intensity
from lava_aug.core.errors import FileError, InputError
from lava_aug.core.files import write_bytes
from lava_aug.experiments.training_data import TrainingData
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
    settings : dict
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
    settings: dict[str, Any]
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
        x, y = (part.to(self.student.input_quantum.device) for part in (images, labels))
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
        device, right, costs = self.student.input_quantum.device, 0, dict.fromkeys(COSTS, 0.0)
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
        changed = sorted(name for name in settings | self.settings if settings.get(name) != self.settings.get(name))
        if changed:
            raise FileError(f"{where}: is of a run with another {', '.join(changed)}; delete it to start anew")
        try:
            self.student.load_state_dict(state["student"])
        except (InputError, RuntimeError) as error:  # the student's own, and torch's
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
