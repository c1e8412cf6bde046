"""The command ``lava-aug``."""

import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from lava_aug.commands import console, conversion, demo, experiments, export, networks, preflight, report, verification
from lava_aug.commands.console import fail
from lava_aug.core.errors import LavaAugError

COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (demo.demo, "lava-aug demo -o demo"),
    (conversion.convert, "lava-aug convert mnist-lenet -c MNIST:ROOT -r 0.25 -T 4 -o lenet.net"),
    (conversion.tune, "lava-aug tune mnist-lenet -c MNIST:ROOT --max-loss 0.2 -o best.net"),
    (conversion.diagnose, "lava-aug diagnose lenet.net mnist-lenet --images MNIST:ROOT"),
    (experiments.compare, "lava-aug compare mnist-lenet --data ROOT --num-images 1000 --open"),
    (networks.info, "lava-aug info lenet.net --plan --json"),
    (preflight.check, "lava-aug check lenet.net --chips 1"),
    (networks.simulate, "lava-aug simulate lenet.net --images MNIST:ROOT -T 8 -o result.npz"),
    (networks.run, "lava-aug run lenet.net --images images.npz --hierarchical"),
    (report.report, "lava-aug report results/mnist-lenet.json results/fashion-lenet.json -o results.md"),
    (verification.verify, "lava-aug verify lenet.net --num-images 2"),
    (export.export, "lava-aug export lenet.net --to nir -o lenet.nir"),
)
"""In the order in which ``--help`` lists them, each with an example."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, example in COMMANDS:
    app.command(epilog=f"Example: {example}")(command)


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
