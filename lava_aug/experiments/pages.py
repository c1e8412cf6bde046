"""Reports of comparisons: a self-contained HTML page, a page of Markdown, their tables, and the curves as CSV."""

import csv
import io
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lava_aug.core.errors import InputError
from lava_aug.core.files import write_figure, write_text
from lava_aug.core.fixed_point import is_list
from lava_aug.core.tables import Table
from lava_aug.core.texts import as_markdown, counted, printable
from lava_aug.experiments import figures
from lava_aug.experiments.rows import Row, is_object
from lava_aug.plot.comparisons import accuracy_and_events

if TYPE_CHECKING:
    from lava_aug.experiments.comparison import Comparison


TEMPLATES = Path(__file__).parent / "templates"

COLUMNS = ("title", "data", "case", "step", "accuracy", "events", "spike_sum", "synops", "energy_nJ")

INTRODUCTION = """\
Accuracy by number of time steps, on test images that were not used to choose anything. The simulator, the files and
Lava agree bit for bit. Every section shows the command that produced it. This page is written by `lava-aug report`."""


def checked(comparisons: "Sequence[Comparison]") -> "Sequence[Comparison]":
    """The comparisons of a report; InputError if one has no rows."""
    for comparison in comparisons:
        if not comparison.rows:
            raise InputError(f"report: comparison {comparison.title!r}: expected one or more rows, found none")
    return comparisons


def _write_html(comparisons: "Sequence[Comparison]", page: Path) -> list[Path]:
    """HTML, with the curves as CSV next to it."""
    written = {page: html(comparisons), page.with_suffix(".csv"): csv_text(comparisons)}
    for target, text in written.items():
        write_text(target, text)
    return list(written)


def html(comparisons: "Sequence[Comparison]") -> str:
    """A page with tables, figures and configuration; see `Comparison.to_html`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_html_section(comparison, f"c{index}") for index, comparison in enumerate(comparisons, start=1)]
    return environment.get_template("report.html").render(sections=sections)


def csv_text(comparisons: "Sequence[Comparison]") -> str:
    """One line for every row after every step; see `Comparison.to_csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for title, data, case, *numbers in records(comparisons):
        writer.writerow([*map(_cell, (title, data, case)), *numbers])
    return text.getvalue()


def records(comparisons: "Sequence[Comparison]") -> Iterator[tuple[Any, ...]]:
    """Values of `COLUMNS` for every row after every step."""
    for comparison in comparisons:
        for row in comparison.rows:
            curves = (row.accuracy, row.events, row.spike_sum, row.synops, row.energy)
            for step, values in enumerate(zip(*(curve.tolist() for curve in curves), strict=True), start=1):
                yield (comparison.title, comparison.data, row.title, step, *values)


def _cell(text: str) -> str:
    """A text for a table: spreadsheets execute what begins like a formula, unless there is an apostrophe before it."""
    shown = printable(text, keep="")
    try:
        float(shown)
    except ValueError:
        return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown
    return shown


def _html_section(comparison: "Comparison", prefix: str) -> dict[str, Any]:
    groups = [
        figures.accuracy_group(comparison, prefix),
        figures.coefficient_group(comparison, prefix),
        figures.raster_group(comparison, prefix),
    ]
    return {
        "id": prefix,
        "title": comparison.title,
        "headline": comparison.tables(),
        "layers": layers_tables(comparison),
        "groups": {group.name: group for group in groups if group.figures},
        "ends": [cases_table(comparison), configuration_table(comparison)],
        "facts": f"{comparison.data}, {comparison.num_images:,} test images, ANN {100 * comparison.ann_accuracy:.2f} %",
        "summaries": [(row.title, row.summary) for row in comparison.rows if row.summary],
    }


def write_markdown(comparisons: "Iterable[Comparison]", page: Path) -> list[Path]:
    """A page of Markdown, and a figure for each comparison in the folder ``images`` beside it; see `write_page`."""
    sections, drawn = list[str](), list[Path]()
    for index, comparison in enumerate(comparisons, start=1):
        drawn.append(page.parent / "images" / f"{page.stem}-{index}-{slug(comparison.title)}.png")
        write_figure(accuracy_and_events(comparison), drawn[-1], dpi=100, make_folder=True)
        sections.append(_markdown_section(comparison, drawn[-1].relative_to(page.parent)))
    write_text(page, "\n\n".join(["# Results", INTRODUCTION, *sections]) + "\n")
    return [page, *drawn]


def slug(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:100] or "report"


def _markdown_section(comparison: "Comparison", figure: Path) -> str:
    facts = (
        f"{as_markdown(comparison.data)}, {comparison.num_images:,} test images; the ANN classifies "
        f"{percent(comparison.ann_accuracy)} % of them correctly."
    )
    title, command = as_markdown(comparison.title), comparison.configuration.get("command")
    parts = [f"## {title}", facts]
    if command:
        parts.append(f"    {printable(str(command), keep='')}")
    parts += [table.markdown() for table in comparison.tables()]
    target = re.sub(r"[\s()<>%]", lambda found: urllib.parse.quote(found[0]), figure.as_posix())
    parts.append(f"![Accuracy over time steps, and over events per image: {title}]({target})")
    facts_of_run = {name: value for name, value in flat(comparison.configuration) if name != "command"}
    parts.append(as_markdown(_listed(facts_of_run)))
    return "\n\n".join(part for part in parts if part)


def layers_tables(comparison: "Comparison") -> list[Table]:
    """Of every row: what its layers do for an image, in all steps together."""
    head = ["layer", "neurons", "events", "sum of |s|", "operations", "events per neuron"]
    return [
        Table(
            head,
            list(_layer_rows(row)),
            caption=f"{row.title}, {counted(row.num_steps, 'time step')}",
            name=f"layers-{index}",
        )
        for index, row in enumerate(comparison.rows)
    ]


def _layer_rows(row: Row) -> Iterator[list[str]]:
    for name, layer in row.layers.items():
        events = float(layer.events.sum())
        counts = (number(float(steps.sum())) for steps in (layer.events, layer.spike_sum, layer.synops))
        yield [name, f"{layer.neurons:,}", *counts, number(events / max(1, layer.neurons))]


def cases_table(comparison: "Comparison") -> Table:
    """How every row was made."""
    rows = [
        [row.title, _listed(row.options) or "-", f"{row.overflows:,}", f"{row.seconds:,.1f}"] for row in comparison.rows
    ]
    head = ["case", "options", "overflows", "simulation (s)"]
    note = "Overflows: membrane potentials and spikes that were clipped, over all images and steps."
    return Table(head, rows, "Options of every case", note, left=head, name="cases")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {as_text(value)}" for name, value in flat(values))


def configuration_table(comparison: "Comparison") -> Table:
    """What was run, on what, and with which versions."""
    facts = [
        ["data", comparison.data],
        ["test images", f"{comparison.num_images:,}"],
        ["ANN's accuracy", f"{percent(comparison.ann_accuracy)} %"],
        ["ANN's multiply-accumulates", f"{comparison.ann_macs:,} per image"],
        ["ANN's energy", f"{number(comparison.ann_energy)} nJ per image, an estimate"],
        *([name, as_text(value)] for name, value in flat(comparison.configuration)),
    ]
    head = ["what", "value"]
    return Table(head, facts, "Data and versions", left=head, name="configuration")


def flat(mapping: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of mappings in mappings, as ("outer.inner", value)."""
    for name, value in mapping.items():
        if is_object(value):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def as_text(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return "-"
    if is_list(value):
        return ", ".join(as_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(accuracy: float) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * accuracy:.2f}"


def number(value: float) -> str:
    """A count or an energy: whole from 100 on, three digits below."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


WRITERS: "dict[str, Callable[[Sequence[Comparison], Path], list[Path]]]" = {
    ".html": _write_html,
    ".htm": _write_html,
    ".md": write_markdown,
}
"""What writes a page, by the ending of its name."""
