"""The command ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from lava_aug.commands import command
from lava_aug.commands.console import progress_console, show_page, tell


@command("lava-aug report results/mnist-lenet.json results/fashion-lenet.json -o results.md", order=100)
def report(
    files: Annotated[list[Path], typer.Argument(help="comparisons (.json), in this order")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the page to write, .html or .md")] = Path(
        "report.html"
    ),
    show: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False,
) -> None:
    """Write a page with tables and figures of comparisons: HTML, with the curves as CSV next to it, or Markdown."""
    import lava_aug as la

    with progress_console.status("drawing figures"):
        first, *others = la.experiments.Comparison.read(*files)
        written = first.write_page(output, *others)
    tell(f"Wrote {', '.join(map(str, written))}.")
    if show:
        show_page(output)
