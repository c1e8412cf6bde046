"""What commands print with: lines, tables, progress bars, figures.

Nearly every line holds a path, a name or a note that is somebody else's. So nothing here is read as rich's markup, and
all of it goes through `lava_aug.texts.printable`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lava_aug import files
from lava_aug.texts import plain, printable

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
progress_console = Console(stderr=True, highlight=False)
"""Where it is said what is going on; errors go to `err`."""


def be_quiet(quiet: bool) -> None:
    """Print errors, and JSON that is asked for, and nothing else; or all again."""
    out.quiet = progress_console.quiet = quiet


def tell(text: str, console: Console = out) -> None:
    """Print a text, its lines as they are."""
    console.print(Text(printable(text)), soft_wrap=True)


def warn(text: str, console: Console = out) -> None:
    """Print a warning."""
    console.print(Text.assemble(("Warning:", "bold yellow"), f" {printable(text)}"), soft_wrap=True)


def fail(text: str) -> None:
    """Print an error."""
    err.print(Text.assemble(("Error:", "bold red"), f" {printable(text)}"))


def print_json(data: Any) -> None:
    """Print JSON, quiet or not; what is not shown, or acted on, as JSON escapes it."""
    text = json.dumps(plain(data), indent=2, ensure_ascii=False)
    typer.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that takes (finished, all)."""
    with stages() as update:
        update(text, 0, None)
        yield lambda done, total: update(text, done, total)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on standard error that takes (what is going on, finished, all)."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console, transient=True, disable=progress_console.quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total)


def table_of(cells: list[list[str]], title: str, caption: str | None = None) -> Table:
    """A table to print; the first line of its cells is the head. Where there is little room, numbers are never cut."""
    around = Text(printable(title), "table.title"), Text(printable(caption or ""), "table.caption")
    table = Table(title=around[0], title_justify="left", caption=around[1], caption_justify="left")
    table.box, table.pad_edge, table.collapse_padding = box.SIMPLE_HEAD, False, True
    texts = [[Text(printable(cell, keep="")) for cell in row] for row in cells]
    for index, head in enumerate(texts[0]):
        widest = max((len(row[index]) for row in texts[1:]), default=0)
        table.add_column(head, justify="right" if index else "left", min_width=widest if index else None)
    for row in texts[1:]:
        table.add_row(*row)
    return table


class Verdict(Protocol):
    """What a check found."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """It, for machines."""
        ...


def show(as_dict: Callable[[], Any], as_text: Callable[[], str], as_json: bool) -> None:
    """Print a result, as JSON if so asked."""
    if as_json:
        print_json(as_dict())
    else:
        tell(as_text())


def show_verdict(found: Verdict, as_json: bool) -> None:
    """Print what a check found, as JSON if so asked; exit code 1 if not all is well."""
    show(found.to_dict, found.__str__, as_json)
    if not found.ok:
        raise typer.Exit(1)


def check_outputs(*paths: Path | None) -> None:
    """Whether files can be written under these names, before the work whose results they are to hold."""
    for path in paths:
        if path is not None:
            files.check_output(path)


def write_figure(path: Path | None, draw: Callable[[Any], Any], *, say: bool = True) -> None:
    """Write the figure that `draw` makes with `lava_aug.plot` to a file, if one was asked for, and say so."""
    if path is None:
        return
    import matplotlib as mpl

    mpl.use("agg")
    from lava_aug import plot

    files.write_figure(draw(plot).figure, path)
    if say:
        tell(f"Wrote {path}.")


def show_page(path: Path) -> None:
    """Show an HTML file in the browser."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        warn("no browser was found to show it", err)
