"""Console output of the commands: lines, tables, progress bars, figures.

Nearly every line holds a path, a name or a note that is somebody else's. So nothing here is read as rich's markup, and
all of it goes through `lava_aug.core.texts.printable`.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from lava_aug.core import files
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import plain, printable

UNLIMITED = 1000
"""Columns that no table needs."""

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


def show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Print a warning of ours as a line; others, which users of commands can do nothing about, are left out."""
    if category.__module__ == "lava_aug.core.errors":
        warn(str(message), progress_console)


def fail(text: str) -> None:
    """Print an error."""
    err.print(Text.assemble(("Error:", "bold red"), f" {printable(text)}"), soft_wrap=True)


def print_json(data: Any) -> None:
    """Print JSON, quiet or not; what is not shown, or acted on, as JSON escapes it."""
    text = json.dumps(plain(data), indent=2, ensure_ascii=False)
    typer.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


@contextmanager
def bar(text: str) -> Generator[Callable[[int, int], None], None, None]:
    """A progress bar on standard error that takes (finished, all)."""
    with stages() as update:
        update(text, 0, None)
        yield lambda done, total: update(text, done, total)


@contextmanager
def stages() -> Generator[Callable[[str, int, int | None], None], None, None]:
    """A progress bar on standard error that takes (what is going on, finished, all)."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=progress_console,
        transient=True,
        disable=progress_console.quiet or not progress_console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total)


def print_table(table: Table) -> None:
    """Print a table; where its numbers need more room than there is, its lines are longer."""
    made = table.rich()
    out.print(Text(printable(table.caption)))
    needed = Measurement.get(out, out.options.update(width=UNLIMITED), made).minimum
    made.width = needed if needed > out.width else None
    out.print(made, crop=False)
    if table.note:
        out.print(Text(printable(table.note), "italic"))


def print_tables(result: Tabular) -> None:
    """Print the tables of a result."""
    for table in result.tables():
        print_table(table)


class Verdict(Protocol):
    """What a check found."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """It, for machines."""
        ...


def show_chosen(found: Any, output: Path, missed: str, as_json: bool) -> None:
    """Print how a network was chosen that has been written, or as JSON; ``missed`` warns if none is accurate enough."""
    if as_json:
        print_json(found.to_dict())
        return
    print_tables(found)
    if not found.reached:
        warn(missed)
    tell(f"Wrote {output}.")


def show(as_dict: Callable[[], Any], as_text: Callable[[], str], as_json: bool) -> None:
    """Print a result, as JSON if so asked."""
    if as_json:
        print_json(as_dict())
    else:
        tell(as_text())


def show_verdict(verdict: Verdict, as_json: bool) -> None:
    """Print what a check found, as JSON if so asked; exit code 1 if not all is well."""
    show(verdict.to_dict, verdict.__str__, as_json)
    if not verdict.ok:
        raise typer.Exit(1)


def check_outputs(*paths: Path | None, figure: Path | None = None) -> None:
    """Whether files can be written under these names, before the work whose results they are to hold."""
    for path in (*paths, figure):
        if path is not None:
            files.check_output(path)
    if figure is not None:
        files.figure_format(figure)


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
        warn("no browser found to open it", err)
