"""Reports of comparisons: a self-contained HTML file, the same as JSON, and the curves as CSV."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lava_aug.core.errors import FileError, InputError, LavaAugError
from lava_aug.core.files import check_output, write_text
from lava_aug.core.texts import printable
from lava_aug.experiments.comparison import Comparison
from lava_aug.reports import figures, tables
from lava_aug.reports.markdown import slug, write_markdown

TEMPLATES = Path(__file__).parent / "templates"

COLUMNS = ("title", "data", "case", "step", "accuracy", "events", "spike_sum", "synops", "energy_nJ")


def write_report(
    comparisons: Comparison | Iterable[Comparison], directory: str | os.PathLike[str], *, name: str | None = None
) -> Path:
    """Write a report: ``<name>.html``, ``<name>.json`` and ``<name>.csv``, each atomically.

    Parameters
    ----------
    comparisons : Comparison or iterable of Comparison
        From `lava_aug.compare_cases`; several are combined into one report.
    directory : path
        Created if it does not exist.
    name : str, optional
        Base name of the files; default the comparisons' titles.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    InputError
        If there is no comparison, one without rows, or the name is not a valid file name.
    FileError
        If a file cannot be written.
    """
    found = _listed(comparisons)
    stem = slug("-".join(c.title for c in found)) if name is None else name
    if not stem or Path(stem).name != stem:
        raise InputError(f"name: expected that of a file, without folder, found {stem!r}")
    page = Path(directory) / f"{stem}.html"
    plain = [c.to_dict() for c in found]
    # The numbers first: whatever happens to the figures, they are kept.
    text = json.dumps(plain[0] if len(plain) == 1 else plain, ensure_ascii=False) + "\n"
    write_text(page.with_name(f"{stem}.json"), text)
    write_text(page.with_name(f"{stem}.csv"), to_csv(found))
    write_text(page, report_html(found))
    return page


PAGES = (".html", ".htm", ".md")
"""Endings of pages."""


def write_page(comparisons: Comparison | Iterable[Comparison], path: str | os.PathLike[str]) -> list[Path]:
    """Write one page with comparisons: HTML, with the curves as CSV next to it; or Markdown, with one figure each.

    Parameters
    ----------
    comparisons : Comparison or iterable of Comparison
        What to show, in this order.
    path : path
        The page, ending in ``.html``, or in ``.md`` for Markdown, with its figures in the folder ``images`` next to it.

    Returns
    -------
    list of Path
        All files written, the page first.

    Raises
    ------
    InputError
        If there is no comparison, or one without rows, or the path has a different suffix.
    FileError
        If a file cannot be written.
    """
    found, page = _listed(comparisons), Path(path)
    check_output(path, make_folder=True)
    if page.suffix.lower() not in PAGES:
        raise InputError(f"report: expected a name that ends in {' or '.join(PAGES)}, found {page.name!r}")
    if page.suffix.lower() == ".md":
        return write_markdown(found, page)
    written = {page: report_html(found), page.with_suffix(".csv"): to_csv(found)}
    for target, text in written.items():
        write_text(target, text)
    return list(written)


def report_html(comparisons: Comparison | Iterable[Comparison]) -> str:
    """A page with tables, figures and configuration; it is self-contained and executes nothing.

    Parameters
    ----------
    comparisons : Comparison or iterable of Comparison
        What to show, in this order.

    Raises
    ------
    InputError
        If there is no comparison, or one without rows.
    """
    found = _listed(comparisons)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(comparison, f"c{index}") for index, comparison in enumerate(found, start=1)]
    return environment.get_template("report.html").render(sections=sections)


def to_csv(comparisons: Comparison | Iterable[Comparison]) -> str:
    """One line for every row after every step.

    The columns: title and data of the comparison, the row's title, step, accuracy (0 .. 1), and means per image up to
    the step: events and sum of ``|s|`` (excluding the input), synaptic operations, estimated energy in nJ. Floats are
    written so that reading them gives the same floats; texts that begin like a formula have an apostrophe before them.

    Parameters
    ----------
    comparisons : Comparison or iterable of Comparison
        What to list.

    Raises
    ------
    InputError
        If there is no comparison, or one without rows.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for comparison in _listed(comparisons):
        for row in comparison.rows:
            curves = (row.accuracy, row.events, row.spike_sum, row.synops, row.energy)
            for step, values in enumerate(zip(*(curve.tolist() for curve in curves), strict=True), start=1):
                texts = map(_cell, (comparison.title, comparison.data, row.title))
                writer.writerow([*texts, step, *values])
    return text.getvalue()


def _cell(text: str) -> str:
    """A text for a table: spreadsheets execute what begins like a formula, unless there is an apostrophe before it."""
    shown = printable(text, keep="")
    try:
        float(shown)
    except ValueError:
        return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown
    return shown


def read_comparisons(paths: Iterable[str | os.PathLike[str]]) -> list[Comparison]:
    """Read the comparisons in JSON files: those of ``lava-aug compare``, or of reports.

    Parameters
    ----------
    paths : iterable of path
        In the order of the result.

    Raises
    ------
    FileError
        If a file cannot be read, or does not contain comparisons.
    """
    return [comparison for path in paths for comparison in _read(Path(path))]


def _listed(comparisons: Comparison | Iterable[Comparison]) -> list[Comparison]:
    found: list[Any] = list(comparisons) if isinstance(comparisons, Iterable) else [comparisons]
    if not found:
        raise InputError("report: expected one or more comparisons, found none")
    for comparison in found:
        if not comparison.rows:
            raise InputError(f"report: comparison {comparison.title!r}: expected one or more rows, found none")
    return found


def _read(path: Path) -> Sequence[Comparison]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{str(path)!r}: expected JSON: {error}") from error
    try:
        return [Comparison.from_dict(part) for part in (found if isinstance(found, list) else [found])]
    except LavaAugError as error:
        raise FileError(f"{str(path)!r}: {error}") from error


def _section(comparison: Comparison, prefix: str) -> dict[str, Any]:
    groups = [
        figures.accuracy_group(comparison, prefix),
        figures.coefficient_group(comparison, prefix),
        figures.raster_group(comparison, prefix),
    ]
    return {
        "id": prefix,
        "title": comparison.title,
        "headline": tables.headline(comparison),
        "layers": tables.layers(comparison),
        "groups": {group.name: group for group in groups if group.figures},
        "ends": [tables.cases(comparison), tables.configuration(comparison)],
        "facts": f"{comparison.data}, {comparison.num_images:,} test images, ANN {100 * comparison.ann_accuracy:.2f} %",
        "summaries": [(row.title, row.summary) for row in comparison.rows if row.summary],
    }
