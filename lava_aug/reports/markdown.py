"""Comparisons as a page of Markdown, for repositories and documentation sites."""

import os
import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from lava_aug.core.files import write_figure, write_text
from lava_aug.core.texts import printable
from lava_aug.experiments.comparison import Comparison
from lava_aug.plot.comparisons import accuracy_and_events
from lava_aug.reports import tables

INTRODUCTION = """\
Accuracy by number of time steps, on test images that were not used to choose anything. The simulator, the files and
Lava agree bit for bit. Every section shows the command that produced it. This page is written by `lava-aug report`."""


def write_markdown(
    comparisons: Iterable[Comparison], path: str | os.PathLike[str], title: str = "Results"
) -> list[Path]:
    """Write a page of Markdown, and a figure for each comparison into the folder ``images`` beside it.

    Parameters
    ----------
    comparisons : iterable of Comparison
        What it shows, one below the other.
    path : path
        Of the page.
    title : str
        Its heading.

    Returns
    -------
    list of Path
        All that was written, the page first.

    Raises
    ------
    FileError
        If a file cannot be written.
    """
    page = Path(path)
    sections, figures = [], []
    for index, comparison in enumerate(comparisons, start=1):
        figures.append(page.parent / "images" / f"{page.stem}-{index}-{slug(comparison.title)}.png")
        write_figure(accuracy_and_events(comparison), figures[-1], dpi=100, make_folder=True)
        sections.append(_section(comparison, figures[-1].relative_to(page.parent)))
    write_text(page, "\n\n".join([f"# {escaped(title)}", INTRODUCTION, *sections]) + "\n")
    return [page, *figures]


def slug(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:100] or "report"


def escaped(text: str) -> str:
    """A text as Markdown shows it: without headings, links, tables and HTML of its own.

    As HTML's numbers of letters, which all kinds of Markdown read; which letters take a backslash differs.

    Examples
    --------
    >>> escaped("a|b <i> vth_lo = -vth")
    'a&#124;b &#60;i> vth_lo = -vth'
    """
    return re.sub(r"[][<&*`|#~\\]", lambda found: f"&#{ord(found[0])};", printable(text, keep=""))


def _section(comparison: Comparison, figure: Path) -> str:
    facts = (
        f"{escaped(comparison.data)}, {comparison.num_images:,} test images; the ANN classifies "
        f"{tables.percent(comparison.ann_accuracy)} % of them correctly."
    )
    title, command = escaped(comparison.title), comparison.configuration.get("command")
    parts = [f"## {title}", facts]
    if command:
        parts.append(f"    {printable(str(command), keep='')}")
    parts += [_table(table) for table in tables.headline(comparison)]
    target = re.sub(r"[\s()<>%]", lambda found: urllib.parse.quote(found[0]), figure.as_posix())
    parts.append(f"![Accuracy over time steps, and over events per image: {title}]({target})")
    found = tables.flat(comparison.configuration)
    parts.append(escaped(", ".join(f"{name} {tables.text(value)}" for name, value in found if name != "command")))
    return "\n\n".join(part for part in parts if part)


def _table(table: tables.Table) -> str:
    """A table in GitHub's Markdown."""
    rows = [list(table.head), *([escaped(cell) for cell in row] for row in table.rows)]
    rule = ["---", *["---:"] * (len(table.head) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
    note = f"\n\n{escaped(table.note)}" if table.note else ""
    return f"{table.caption}:\n\n" + "\n".join(lines) + note
