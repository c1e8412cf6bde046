"""Reports of comparisons: a self-contained HTML page, and the curves as CSV."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lava_aug.core.errors import InputError
from lava_aug.core.files import write_text
from lava_aug.core.texts import printable
from lava_aug.experiments import figures, tables
from lava_aug.experiments.markdown import write_markdown

if TYPE_CHECKING:
    from lava_aug.experiments.comparison import Comparison

TEMPLATES = Path(__file__).parent / "templates"

COLUMNS = ("title", "data", "case", "step", "accuracy", "events", "spike_sum", "synops", "energy_nJ")


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


WRITERS: "dict[str, Callable[[Sequence[Comparison], Path], list[Path]]]" = {
    ".html": _write_html,
    ".htm": _write_html,
    ".md": write_markdown,
}
"""What writes a page, by the ending of its name."""


def html(comparisons: "Sequence[Comparison]") -> str:
    """A page with tables, figures and configuration; see `Comparison.to_html`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(comparison, f"c{index}") for index, comparison in enumerate(comparisons, start=1)]
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


def _section(comparison: "Comparison", prefix: str) -> dict[str, Any]:
    groups = [
        figures.accuracy_group(comparison, prefix),
        figures.coefficient_group(comparison, prefix),
        figures.raster_group(comparison, prefix),
    ]
    return {
        "id": prefix,
        "title": comparison.title,
        "headline": comparison.tables(),
        "layers": tables.layers(comparison),
        "groups": {group.name: group for group in groups if group.figures},
        "ends": [tables.cases(comparison), tables.configuration(comparison)],
        "facts": f"{comparison.data}, {comparison.num_images:,} test images, ANN {100 * comparison.ann_accuracy:.2f} %",
        "summaries": [(row.title, row.summary) for row in comparison.rows if row.summary],
    }
