"""The command ``lava-aug``."""

import sys

import typer

from lava_aug.commands import conversion, demo, experiments, export, networks, preflight, report, verification
from lava_aug.commands.console import err
from lava_aug.errors import LavaAugError

COMMANDS = (
    demo.demo,
    conversion.convert,
    conversion.tune,
    conversion.diagnose,
    experiments.compare,
    networks.info,
    preflight.check,
    networks.simulate,
    networks.run,
    report.report,
    verification.verify,
    export.export,
)
"""In the order in which ``--help`` lists them."""

app = typer.Typer(
    help="Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point: errors that users can mend end in a message and exit code 2, without a traceback."""
    try:
        app()
    except LavaAugError as error:
        err.print(f"[bold red]Error:[/] {_plain(error)}")
        sys.exit(2)


def _plain(error: LavaAugError) -> str:
    return str(error).replace("[", "\\[")
