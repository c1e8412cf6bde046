"""The results of comparing conversions: accuracy, spikes, operations and energy over time steps, and their JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.errors import InputError
from lava_aug.core.texts import plain
from lava_aug.experiments.reading import Fields, triple
from lava_aug.simulation.early_exit import Exit

STEPS = (1, 2, 4, 8, 16, 32)

TOLERANCE = 0.005
"""How far below the ANN's accuracy a network may be to count as having reached it."""

STARS = "* to stay within 0.5 points of the ANN; events per image, excluding the input"

UNTIL = (
    "* to stay within 0.5 points of the ANN; events excluding the input; energy estimated for the arithmetic "
    "alone, see lava_aug.experiments.energy"
)

FORMAT, FORMAT_VERSION = "lava-aug comparison", 1


def powers_of_two(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … and the largest.

    >>> powers_of_two(20)
    (1, 2, 4, 8, 16, 20)
    """
    return (*(1 << k for k in range((largest - 1).bit_length())), largest)


@dataclasses.dataclass(frozen=True, eq=False)
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

    @classmethod
    def read(cls, found: Fields, num_steps: int) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        curves = {name: found.curve(name, num_steps) for name in ("events", "spike_sum", "synops")}
        return cls(found.count("neurons"), **curves, coefficients=found.fields("coefficients").coefficients())


@dataclasses.dataclass(frozen=True, eq=False)
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

    def first_step(self, accuracy: float) -> int | None:
        """The first step from which the accuracy is never below the given one; None if there is none."""
        below = np.flatnonzero(self.accuracy < accuracy)
        step = int(below[-1]) + 2 if len(below) else 1
        return step if step <= len(self.accuracy) else None


@dataclasses.dataclass(frozen=True, eq=False)
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
    def read(cls, found: Fields) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        accuracy = found.curve("accuracy", high=1)
        curves = {name: found.curve(name, len(accuracy)) for name in ("events", "spike_sum", "synops", "energy")}
        layers, exits = found.fields("layers"), f"{found.where}/exits"
        return cls(
            title=found.text("title"),
            options=found.fields("options").plain(),
            summary=found.text("summary"),
            accuracy=accuracy,
            **curves,
            layers={name: LayerStatistics.read(layers.fields(name), len(accuracy)) for name in layers.names()},
            exits=tuple(Exit(*triple(point, exits)) for point in found.items("exits")),
            overflows=found.count("overflows"),
            seconds=found.number("seconds"),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The ANN, and one row for each conversion.

    Attributes
    ----------
    title, data : str
        What was compared, and the name of the data.
    ann_accuracy : float
        0 .. 1.
    ann_macs : int
        Multiply-accumulates of one forward pass of the ANN.
    ann_energy : float
        Estimate per image with 8-bit integers, in nJ.
    num_images : int
        Number of images, the same for all rows.
    rows : tuple of Row
        The conversions.
    configuration : mapping
        What is needed to reproduce it: versions, command, options.
    raster : mapping of str to numpy.ndarray
        Coefficients of the first neurons of every layer for one image, ``(T, k)`` by name; may be empty.
    """

    title: str
    data: str
    ann_accuracy: float
    ann_macs: int
    ann_energy: float
    num_images: int
    rows: tuple[Row, ...]
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    raster: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)

    def cells(self, steps: Sequence[int] = STEPS) -> list[list[str]]:
        """The comparison as a table of texts, whose first line is the header.

        Accuracies are in percent. The starred columns are the number of steps after which the accuracy stays within 0.5
        points of the ANN's, and the events per image up to then; `STARS` is the caption that says so.
        """
        goal = self.ann_accuracy - TOLERANCE
        head = ["accuracy (%)", *map(str, steps), "steps*", "events*"]
        ann = ["ANN", *[_percent(self.ann_accuracy)] * len(steps), "-", "-"]
        return [head, ann, *(self._cells(row, steps, goal) for row in self.rows)]

    def _cells(self, row: Row, steps: Sequence[int], goal: float) -> list[str]:
        first, last = row.first_step(goal), row.num_steps
        until = [f"> {last}", "-"] if first is None else [str(first), f"{row.events[first - 1]:,.0f}"]
        return [row.title, *(_percent(row.accuracy[step - 1]) if step <= last else "-" for step in steps), *until]

    def costs(self) -> list[list[str]]:
        """The cost of an image as a table of texts, whose first line is the header; `UNTIL` is its caption.

        Steps until the accuracy stays within 0.5 points of the ANN's, and events, synaptic operations and
        energy up to then. An operation of the ANN is a multiply-accumulate.
        """
        head = ["per image", "steps*", "events*", "operations*", "energy* (nJ)"]
        ann = ["ANN", "-", "-", f"{self.ann_macs:,}", f"{self.ann_energy:,.1f}"]
        return [head, ann, *(self._costs(row) for row in self.rows)]

    def _costs(self, row: Row) -> list[str]:
        first = row.first_step(self.ann_accuracy - TOLERANCE)
        if first is None:
            return [row.title, f"> {row.num_steps}", "-", "-", "-"]
        events, operations, energy = (float(found[first - 1]) for found in (row.events, row.synops, row.energy))
        return [row.title, str(first), f"{events:,.0f}", f"{operations:,.0f}", f"{energy:,.1f}"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; nothing is rounded."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **plain(self)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises
        ------
        InputError
            If it is not a comparison.
        """
        try:
            return cls._read(Fields(found, "comparison"))
        except InputError as error:
            raise InputError(f"comparison: expected what Comparison.to_dict gives; {error}") from None

    @classmethod
    def _read(cls, found: Fields) -> Self:
        if (found.text("format"), found.count("format_version")) != (FORMAT, FORMAT_VERSION):
            raise InputError(f"expected version {FORMAT_VERSION}")
        raster = found.fields("raster")
        rows = (Fields(row, f"comparison/rows/{index}") for index, row in enumerate(found.items("rows")))
        return cls(
            title=found.text("title"),
            data=found.text("data"),
            ann_accuracy=found.number("ann_accuracy", high=1),
            ann_macs=found.count("ann_macs"),
            ann_energy=found.number("ann_energy"),
            num_images=found.count("num_images", low=1),
            rows=tuple(map(Row.read, rows)),
            configuration=found.fields("configuration").plain(),
            raster={name: raster.matrix(name) for name in raster.names()},
        )


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}"
