"""What commands print with: tables, progress bars, figures."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lava_aug import files
from lava_aug.texts import plain

UNLIMITED = 1000
"""Columns that no table needs."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
progress_console = Console(stderr=True, highlight=False)
"""Where it is said what is going on; errors go to `err`."""


def be_quiet(quiet: bool) -> None:
    """Print errors, and JSON that is asked for, and nothing else; or all again."""
    out.quiet = progress_console.quiet = quiet


def show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Print a warning of ours as a line; others, which users of commands can do nothing about, are left out."""
    if category.__module__ == "lava_aug.errors":
        progress_console.print(f"[bold yellow]Warning:[/] {escape(str(message))}", soft_wrap=True)


def print_json(data: Any) -> None:
    """Print JSON, quiet or not."""
    typer.echo(json.dumps(plain(data), indent=2, ensure_ascii=False))


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that takes (finished, all)."""
    with stages() as update:
        update(text, 0, None)
        yield lambda done, total: update(text, done, total)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on standard error that takes (what is going on, finished, all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console, transient=True, disable=progress_console.quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total)


def print_table(cells: list[list[str]], title: str, caption: str | None = None) -> None:
    """Print a table; the first line of its cells is the head.

    Where there is little room, words are wrapped; numbers are never cut: the lines are longer, then.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, head in enumerate(cells[0]):
        words = [*head.split(), *(word for row in cells[1:] for word in ([row[index]] if index else row[0].split()))]
        table.add_column(escape(head), justify="right" if index else "left", min_width=max(map(len, words), default=0))
    for row in cells[1:]:
        table.add_row(*map(escape, row))
    out.print(title, markup=False)
    needed = Measurement.get(out, out.options.update(width=UNLIMITED), table).minimum
    table.width = needed if needed > out.width else None
    out.print(table, crop=False)
    if caption is not None:
        out.print(caption, markup=False, style="italic")


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
        out.print(as_text(), markup=False, soft_wrap=True)


def show_verdict(found: Verdict, as_json: bool) -> None:
    """Print what a check found, as JSON if so asked; exit code 1 if not all is well."""
    show(found.to_dict, found.__str__, as_json)
    if not found.ok:
        raise typer.Exit(1)


def write_figure(path: Path | None, draw: Callable[[Any], Any], *, say: bool = True) -> None:
    """Write the figure that `draw` makes with `lava_aug.plot` to a file, if one was asked for, and say so."""
    if path is None:
        return
    import matplotlib as mpl

    mpl.use("agg")
    from lava_aug import plot

    files.write_figure(draw(plot).figure, path)
    if say:
        out.print(f"Wrote {path}.")


def show_page(path: Path) -> None:
    """Show an HTML file in the browser."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        err.print("[bold yellow]Warning:[/] no browser was found to show it")
