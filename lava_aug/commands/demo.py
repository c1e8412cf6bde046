"""The command ``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from lava_aug.commands import command
from lava_aug.commands.console import print_tables, progress_console, tell


@command("lava-aug demo -o demo", order=10)
def demo(
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory for the output files")] = Path(),
) -> None:
    """Train a small CNN on digits, convert it with all methods, compare the results, and run one on Lava."""
    from lava_aug.examples.demo import demo as run_demo

    result = run_demo(directory, say=lambda text: tell(f"{text} …", progress_console))
    tell(f"{result.comparison.num_images} test digits, 8-bit weights")
    print_tables(result.comparison)
    if result.lava is None:
        tell(f"Not run on Lava: {result.lava_missing}")
    elif result.lava.differences:
        tell("\n  ".join(["Lava differs from the simulator:", *result.lava.differences]))
    else:
        tell(
            f"Lava: {result.lava.num_images} images, {result.lava.num_steps} time steps each, "
            f"accuracy {100 * result.lava.accuracy:.2f} %; all {result.lava.num_spikes:,} spikes of all layers, "
            "every readout and every count equal the simulator's."
        )
    tell(f"Wrote {result.network}, {result.figure}, {result.weights}, {result.data}.")
    if result.lava is not None and result.lava.differences:
        raise typer.Exit(1)
