"""The tables of a report, as texts."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lava_aug.core.texts import counted
from lava_aug.experiments.comparison import UNTIL, Comparison, Row, powers_of_two


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, and what is written above and below it.

    Attributes
    ----------
    name : str
        For links within the page.
    caption : str
        Above it.
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of str
        Cells; the first one of a row is its title.
    note : str
        Below it.
    words : bool
        Whether its cells are words instead of numbers.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: bool = False


def headline(comparison: Comparison) -> list[Table]:
    """Accuracies by number of steps, and what it takes to stay close to the ANN."""
    steps = powers_of_two(max(row.num_steps for row in comparison.rows))
    (_, *head), *rows = ([title, *cells[:-2]] for title, *cells in comparison.cells(steps))
    cost_head, *costs = comparison.costs()
    return [
        Table("accuracies", "Accuracy (%) by number of time steps", ["case", *head], rows),
        Table("costs", "What it takes to stay close to the ANN", ["case", *cost_head[1:]], costs, UNTIL),
    ]


def layers(comparison: Comparison) -> list[Table]:
    """Of every row: what its layers do for an image, in all steps together."""
    head = ["layer", "neurons", "events", "sum of |s|", "operations", "events per neuron"]
    return [
        Table(f"layers-{index}", f"{row.title}, {counted(row.num_steps, 'time step')}", head, list(_layers(row)))
        for index, row in enumerate(comparison.rows)
    ]


def _layers(row: Row) -> Iterator[list[str]]:
    for name, layer in row.layers.items():
        events = float(layer.events.sum())
        counts = (number(float(found.sum())) for found in (layer.events, layer.spike_sum, layer.synops))
        yield [name, f"{layer.neurons:,}", *counts, number(events / max(1, layer.neurons))]


def cases(comparison: Comparison) -> Table:
    """How every row was made."""
    rows = [[row.title, _options(row), f"{row.overflows:,}", f"{row.seconds:,.1f}"] for row in comparison.rows]
    head = ["case", "options", "overflows", "simulation (s)"]
    note = "Overflows: membrane potentials and spikes that were clipped, over all images and steps."
    return Table("cases", "Options of every case", head, rows, note, words=True)


def _options(row: Row) -> str:
    return ", ".join(f"{name} {text(value)}" for name, value in flat(row.options)) or "-"


def configuration(comparison: Comparison) -> Table:
    """What was run, on what, and with which versions."""
    facts = [
        ["data", comparison.data],
        ["test images", f"{comparison.num_images:,}"],
        ["ANN's accuracy", f"{percent(comparison.ann_accuracy)} %"],
        ["ANN's multiply-accumulates", f"{comparison.ann_macs:,} per image"],
        ["ANN's energy", f"{number(comparison.ann_energy)} nJ per image, an estimate"],
        *([name, text(value)] for name, value in flat(comparison.configuration)),
    ]
    return Table("configuration", "Data and versions", ["what", "value"], facts, words=True)


def flat(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of mappings in mappings, as ("outer.inner", value)."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def text(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(accuracy: float) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * accuracy:.2f}"


def number(value: float) -> str:
    """A count or an energy: whole from 100 on, three digits below."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
