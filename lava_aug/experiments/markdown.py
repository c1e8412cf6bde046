"""Comparisons as a page of Markdown, for repositories and documentation sites."""

import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lava_aug.core.files import write_figure, write_text
from lava_aug.core.texts import as_markdown, printable
from lava_aug.experiments import tables
from lava_aug.plot.comparisons import accuracy_and_events

if TYPE_CHECKING:
    from lava_aug.experiments.comparison import Comparison

INTRODUCTION = """\
Accuracy by number of time steps, on test images that were not used to choose anything. The simulator, the files and
Lava agree bit for bit. Every section shows the command that produced it. This page is written by `lava-aug report`."""


def write_markdown(comparisons: "Iterable[Comparison]", page: Path) -> list[Path]:
    """A page of Markdown, and a figure for each comparison in the folder ``images`` beside it; see `write_page`."""
    sections, figures = [], []
    for index, comparison in enumerate(comparisons, start=1):
        figures.append(page.parent / "images" / f"{page.stem}-{index}-{slug(comparison.title)}.png")
        write_figure(accuracy_and_events(comparison), figures[-1], dpi=100, make_folder=True)
        sections.append(_section(comparison, figures[-1].relative_to(page.parent)))
    write_text(page, "\n\n".join(["# Results", INTRODUCTION, *sections]) + "\n")
    return [page, *figures]


def slug(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:100] or "report"


def _section(comparison: "Comparison", figure: Path) -> str:
    facts = (
        f"{as_markdown(comparison.data)}, {comparison.num_images:,} test images; the ANN classifies "
        f"{tables.percent(comparison.ann_accuracy)} % of them correctly."
    )
    title, command = as_markdown(comparison.title), comparison.configuration.get("command")
    parts = [f"## {title}", facts]
    if command:
        parts.append(f"    {printable(str(command), keep='')}")
    parts += [table.markdown() for table in comparison.tables()]
    target = re.sub(r"[\s()<>%]", lambda facts_of_run: urllib.parse.quote(facts_of_run[0]), figure.as_posix())
    parts.append(f"![Accuracy over time steps, and over events per image: {title}]({target})")
    facts_of_run = tables.flat(comparison.configuration)
    parts.append(
        as_markdown(", ".join(f"{name} {tables.text(value)}" for name, value in facts_of_run if name != "command"))
    )
    return "\n\n".join(part for part in parts if part)
