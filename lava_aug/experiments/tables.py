"""The tables of a comparison and of its report."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lava_aug.core.tables import Table
from lava_aug.core.texts import counted
from lava_aug.experiments.rows import Row

if TYPE_CHECKING:
    from lava_aug.experiments.comparison import Comparison


def layers(comparison: "Comparison") -> list[Table]:
    """Of every row: what its layers do for an image, in all steps together."""
    head = ["layer", "neurons", "events", "sum of |s|", "operations", "events per neuron"]
    return [
        Table(
            head,
            list(_layers(row)),
            caption=f"{row.title}, {counted(row.num_steps, 'time step')}",
            name=f"layers-{index}",
        )
        for index, row in enumerate(comparison.rows)
    ]


def _layers(row: Row) -> Iterator[list[str]]:
    for name, layer in row.layers.items():
        events = float(layer.events.sum())
        counts = (number(float(steps.sum())) for steps in (layer.events, layer.spike_sum, layer.synops))
        yield [name, f"{layer.neurons:,}", *counts, number(events / max(1, layer.neurons))]


def cases(comparison: "Comparison") -> Table:
    """How every row was made."""
    rows = [[row.title, _options(row), f"{row.overflows:,}", f"{row.seconds:,.1f}"] for row in comparison.rows]
    head = ["case", "options", "overflows", "simulation (s)"]
    note = "Overflows: membrane potentials and spikes that were clipped, over all images and steps."
    return Table(head, rows, "Options of every case", note, left=head, name="cases")


def _options(row: Row) -> str:
    return ", ".join(f"{name} {text(value)}" for name, value in flat(row.options)) or "-"


def configuration(comparison: "Comparison") -> Table:
    """What was run, on what, and with which versions."""
    facts = [
        ["data", comparison.data],
        ["test images", f"{comparison.num_images:,}"],
        ["ANN's accuracy", f"{percent(comparison.ann_accuracy)} %"],
        ["ANN's multiply-accumulates", f"{comparison.ann_macs:,} per image"],
        ["ANN's energy", f"{number(comparison.ann_energy)} nJ per image, an estimate"],
        *([name, text(value)] for name, value in flat(comparison.configuration)),
    ]
    head = ["what", "value"]
    return Table(head, facts, "Data and versions", left=head, name="configuration")


def flat(mapping: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of mappings in mappings, as ("outer.inner", value)."""
    for name, value in mapping.items():
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
