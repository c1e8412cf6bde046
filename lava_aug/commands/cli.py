"""The command ``lava-aug``."""

import importlib
import pkgutil
import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from lava_aug import commands
from lava_aug.commands import console
from lava_aug.commands.console import fail
from lava_aug.core.errors import LavaAugError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
    if module.name != __name__:
        importlib.import_module(module.name)
for command in sorted(commands.COMMANDS, key=lambda command: command.order):
    app.command(epilog=f"Example: {command.example}")(command.function)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lava-aug {version('lava-aug')}")
        raise typer.Exit


@app.callback()
def root(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print only errors and --json output")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava."""
    console.be_quiet(quiet)


def main() -> None:
    """Entry point: errors that users can fix end with a message and exit code 2, no traceback; Ctrl-C with 130."""
    with warnings.catch_warnings():
        warnings.showwarning = console.show_warning
        try:
            app()
        except LavaAugError as error:
            fail(str(error))
            sys.exit(130 if isinstance(error.__cause__, KeyboardInterrupt) else 2)
