"""The rows of a comparison: accuracy, spikes, operations and energy of one network over time steps."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.texts import brief, counted
from lava_aug.experiments.reading import Fields, triple
from lava_aug.simulation.courses import Exit

P = TypeVar("P")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LayerStatistics:
    """Statistics of one layer, or of the input: means over all images, for each of the T time steps.

    Attributes
    ----------
    neurons : int
        The number of neurons.
    events : numpy.ndarray
        Events in every step, ``(T,)``, not cumulative.
    spike_sum : numpy.ndarray
        Sum of ``|coefficient|`` in every step, ``(T,)``.
    synops : numpy.ndarray
        Synaptic operations *into* the layer in every step, ``(T,)``; zeros for the input.
    coefficients : mapping of int to float
        The number of spikes with each coefficient over all steps, without coefficient 0; empty for the input, whose
        spikes are intensities.
    """

    neurons: int
    events: NDArray[Any]
    spike_sum: NDArray[Any]
    synops: NDArray[Any]
    coefficients: Mapping[int, float]

    def __repr__(self) -> str:
        steps, events = counted(len(self.events), "time step"), float(self.events.sum())
        return f"<LayerStatistics: {counted(self.neurons, 'neuron')}, {steps}, {events:,.1f} events per image>"

    @classmethod
    def read(cls, fields: Fields, num_steps: int) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        curves = {name: fields.curve(name, num_steps) for name in ("events", "spike_sum", "synops")}
        return cls(fields.count("neurons"), **curves, coefficients=fields.fields("coefficients").coefficients())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """Accuracy and events of any network over time steps, ours or not.

    Attributes
    ----------
    title : str
        Its name in tables.
    accuracy : numpy.ndarray
        After every step, 0 .. 1.
    events : numpy.ndarray
        Mean events per image up to every step, excluding the input.
    """

    title: str
    accuracy: NDArray[Any]
    events: NDArray[Any]

    @property
    def num_steps(self) -> int:
        """Time steps per image."""
        return len(self.accuracy)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {brief(self.title)}, {counted(self.num_steps, 'time step')}, accuracy "
            f"{100 * self.accuracy[-1]:.2f} %, {self.events[-1]:,.1f} events per image>"
        )

    def first_step(self, accuracy: float) -> int | None:
        """The first step from which the accuracy is never below the given one; None if there is none."""
        below = np.flatnonzero(self.accuracy < accuracy)
        step = int(below[-1]) + 2 if len(below) else 1
        return step if step <= len(self.accuracy) else None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Row(Curve):
    """One conversion in a comparison. Arrays have an element for every time step.

    Attributes
    ----------
    options : mapping
        How it was made: method, resolution, and further arguments of `convert` and `simulate`.
    summary : str
        Of the network.
    spike_sum : numpy.ndarray
        Mean sum of ``|coefficient|`` per image up to every step, excluding the input.
    synops : numpy.ndarray
        Mean synaptic operations per image up to every step, including those of the input's spikes.
    energy : numpy.ndarray
        Estimate (`lava_aug.experiments.energy`) per image up to every step, in nJ.
    layers : mapping of str to LayerStatistics
        By name, including ``"input"``, in the order of the network.
    exits : tuple of Exit
        The effect of early exit by the margin between the two largest logits; may be empty.
    overflows : int
        Potentials and coefficients that were clipped, over all images and steps.
    seconds : float
        Time of the simulation, summed over all parts.
    """

    options: Mapping[str, Any]
    summary: str
    spike_sum: NDArray[Any]
    synops: NDArray[Any]
    energy: NDArray[Any]
    layers: Mapping[str, LayerStatistics] = dataclasses.field(default_factory=dict)
    exits: tuple[Exit, ...] = ()
    overflows: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        accuracy = fields.curve("accuracy", high=1)
        curves = {name: fields.curve(name, len(accuracy)) for name in ("events", "spike_sum", "synops", "energy")}
        layers, exits = fields.fields("layers"), f"{fields.where}/exits"
        return cls(
            title=fields.text("title"),
            options=fields.fields("options").plain(),
            summary=fields.text("summary"),
            accuracy=accuracy,
            **curves,
            layers={name: LayerStatistics.read(layers.fields(name), len(accuracy)) for name in layers.names()},
            exits=tuple(Exit(*triple(point, exits)) for point in fields.items("exits")),
            overflows=fields.count("overflows"),
            seconds=fields.number("seconds"),
        )


def pareto_front(
    points: Iterable[P], cost: Callable[[P], tuple[float, float]], accuracy: Callable[[P], float]
) -> list[P]:
    """The points that no other beats in both accuracy and cost, cheapest first.

    Parameters
    ----------
    points : iterable
        The candidates.
    cost : callable
        Of a point: its cost, and a second cost as a tie-breaker.
    accuracy : callable
        Of a point.

    Examples
    --------
    >>> pareto_front([(5, 0.8), (9, 0.7), (7, 0.9)], cost=lambda p: (p[0], 0), accuracy=lambda p: p[1])
    [(5, 0.8), (7, 0.9)]
    """
    front: list[P] = []
    for point in sorted(points, key=lambda p: (cost(p)[0], -accuracy(p), cost(p)[1])):
        if not front or accuracy(point) > accuracy(front[-1]):
            front.append(point)
    return front
