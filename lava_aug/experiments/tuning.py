"""Finding the resolution and number of steps: accuracy against events or steps, and the best allowed network."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from lava_aug.conversion.calibration import calibration_images, labelled_images
from lava_aug.conversion.converter import convert
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.core.errors import InputError
from lava_aug.core.images import Images
from lava_aug.core.network import Network
from lava_aug.core.normalization import Normalization
from lava_aug.core.results import check_labels
from lava_aug.core.spec import is_number
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.experiments.rows import pareto_front
from lava_aug.experiments.running import ann_logits
from lava_aug.simulation.simulator import simulate

RESOLUTIONS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)

Objective = Literal["events", "steps"]


@dataclasses.dataclass(frozen=True)
class Point:
    """One conversion after a number of steps.

    Attributes
    ----------
    network : Network
        Converted with that many steps.
    num_steps : int
        Time steps per image.
    accuracy : float
        0 .. 1.
    events : float
        Mean events per image, excluding the input.
    """

    network: Network
    num_steps: int
    accuracy: float
    events: float

    @property
    def resolution(self) -> float:
        """Threshold / balanced threshold."""
        return self.network.resolution

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; without the network."""
        names = ("resolution", "num_steps", "accuracy", "events")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, repr=False)
class Tuned(Tabular):
    """The result of `tune`; `str` returns a table of the front.

    Attributes
    ----------
    ann_accuracy : float
        The model's own accuracy on the same images.
    max_loss : float
        The allowed loss, in percentage points.
    objective : {"events", "steps"}
        What was minimised.
    points : tuple of Point
        Everything that was tried.
    """

    ann_accuracy: float
    max_loss: float
    objective: Objective
    points: tuple[Point, ...]

    def _cost(self, point: Point) -> tuple[float, float]:
        events, steps = point.events, float(point.num_steps)
        return (events, steps) if self.objective == "events" else (steps, events)

    @property
    def front(self) -> tuple[Point, ...]:
        """The Pareto front: points that no other beats in both accuracy and cost, cheapest first."""
        return tuple(pareto_front(self.points, self._cost, lambda point: point.accuracy))

    @property
    def best(self) -> Point:
        """The cheapest allowed point; if there is none, the most accurate one."""
        allowed = [p for p in self.points if self._is_allowed(p)]
        return min(allowed, key=self._cost) if allowed else max(self.points, key=lambda p: p.accuracy)

    @property
    def reached(self) -> bool:
        """Whether `best` is as accurate as requested."""
        return self._is_allowed(self.best)

    def _is_allowed(self, point: Point) -> bool:
        return 100 * point.accuracy >= 100 * self.ann_accuracy - self.max_loss - 1e-9

    @property
    def network(self) -> Network:
        """The network of `best`, with its number of steps as the default."""
        return self.best.network

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: everything that was tried, the Pareto front, and the best of it."""
        return {
            "ann_accuracy": self.ann_accuracy,
            "max_loss": self.max_loss,
            "objective": self.objective,
            "reached": self.reached,
            "best": self.best.to_dict(),
            "front": [point.to_dict() for point in self.front],
            "points": [point.to_dict() for point in self.points],
        }

    def _facts(self) -> str:
        best, goal = self.best, "" if self.reached else f", more than {self.max_loss:g} points below the ANN"
        return (
            f"resolution {best.resolution:g}, {counted(best.num_steps, 'time step')}, accuracy "
            f"{100 * best.accuracy:.2f} %{goal}, {best.events:,.0f} events per image; best of {len(self.points)}"
        )

    def tables(self) -> tuple[Table]:
        """The Pareto front."""
        rows = [
            [
                f"{point.resolution:g}",
                str(point.num_steps),
                f"{100 * point.accuracy:.2f}",
                f"{point.events:,.0f}",
                "best" if point == self.best else "",
            ]
            for point in self.front
        ]
        goal = f"ANN {100 * self.ann_accuracy:.2f} %, at most {self.max_loss:g} points less"
        head = ["resolution", "steps", "accuracy (%)", "events per image", ""]
        return (Table(head, rows, f"{goal}, fewest {self.objective}"),)


def tune(
    model: Model,
    calibration: Images,
    labels: Any = None,
    *,
    images: Images | None = None,
    max_loss: float = 0.5,
    objective: Objective = "events",
    resolutions: Sequence[float] = RESOLUTIONS,
    num_steps: int = 8,
    per_layer: bool = False,
    normalize: tuple[Any, Any] | Normalization | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Tuned:
    """Find the resolution and the number of steps with the fewest events, or the fewest steps.

    Every resolution is converted and simulated once for ``num_steps`` steps, which gives a point for every number of
    steps up to that.

    Parameters
    ----------
    model : torch.nn.Module or path
        The trained network.
    calibration : Images
        As for `lava_aug.convert`.
    labels : array, shape (B,), optional
        True classes of the images on which the accuracy is measured; default the labels that come with them.
    images : Images, optional
        Those images; default the calibration images.
    max_loss : float
        How far the network's accuracy may be below the model's, in percentage points: for 99.0 %, 0.5 allows 98.5 %.
    objective : {"events", "steps"}
        What to minimise.
    resolutions : sequence of float
        The resolutions to try.
    num_steps : int
        Largest number of steps.
    per_layer : bool
        Whether to continue from the best point layer by layer: each layer's resolution is made twice as coarse as long
        as accuracy and objective allow it. Each try takes a conversion and a simulation.
    normalize : (mean, std), optional
        The normalisation of the model's images, as for `lava_aug.convert`.
    progress : callable, optional
        Called with a description of the current try, the number of finished tries and their total.
    **options
        Additional arguments for `lava_aug.convert`.

    Returns
    -------
    Tuned
        All points, the Pareto front, and the best network.

    Raises
    ------
    InputError
        If labels and images do not match, or options are invalid.
    ConversionError
        As `convert`.
    """
    _check(max_loss, objective, resolutions)
    calibrated, own, inputs = calibration_images(calibration)
    shown, own, _ = (calibrated, own, ()) if images is None else labelled_images(images, inputs or None)
    model = as_module(model, inputs)
    predicted = ann_logits(model, shown, normalize=normalize).argmax(axis=1)
    expected = check_labels(labels, predicted.shape, own)
    search = _Search(model, calibrated, shown, expected, num_steps, {"normalize": normalize, **options})
    points: list[Point] = []
    for index, resolution in enumerate(resolutions):
        points += search.points(resolution)
        if progress is not None:
            progress(f"resolution {resolution:g}", index + 1, len(resolutions))
    tuned = Tuned(float((predicted == expected).mean()), max_loss, objective, tuple(points))
    return _refined(tuned, search, progress) if per_layer else tuned


def _check(max_loss: Any, objective: Any, resolutions: Any) -> None:
    if not is_number(max_loss) or not 0 <= max_loss <= 100:
        raise InputError(f"max_loss: expected percentage points from 0 to 100, found {max_loss!r}")
    if objective not in ("events", "steps"):
        raise InputError(f"objective: expected 'events' or 'steps', found {objective!r}")
    if not len(resolutions):
        raise InputError("resolutions: expected at least one number, found none")


@dataclasses.dataclass(frozen=True)
class _Search:
    model: Model
    calibration: Any
    images: Any
    labels: NDArray[Any]
    num_steps: int
    options: dict[str, Any]

    def points(self, resolution: float, layers: Mapping[str, float] | None = None) -> list[Point]:
        """One conversion, after every number of steps."""
        chosen = {"resolution": resolution, "layer_resolutions": layers, "num_steps": self.num_steps}
        net = convert(self.model, self.calibration, **chosen, **self.options)
        out = simulate(net, self.images)
        accuracy, events = out.accuracy(self.labels), out.events_per_image()
        return [
            Point(net.replace(num_steps=t + 1), t + 1, float(accuracy[t]), float(events[t]))
            for t in range(self.num_steps)
        ]


def _refined(tuned: Tuned, search: _Search, progress: Callable[[str, int, int], None] | None) -> Tuned:
    """Coarser layers, one after the other, as long as that is better."""
    names = [layer.name for layer in tuned.best.network.layers[:-1] if layer.neuron.threshold is not None]
    chosen = dict.fromkeys(names, tuned.best.resolution)
    for index, name in enumerate(names):
        while True:
            tried = chosen | {name: 2 * chosen[name]}
            points = search.points(tuned.best.resolution, tried)
            wider = dataclasses.replace(tuned, points=tuned.points + tuple(points))
            if wider.best not in points:
                break
            tuned, chosen = wider, tried
        if progress is not None:
            progress(f"layer {name}", index + 1, len(names))
    return tuned
