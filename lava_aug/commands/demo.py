"""The command ``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from lava_aug.commands import command
from lava_aug.commands.console import print_table, progress_console, tell


@command("lava-aug demo -o demo", order=10)
def demo(
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory for the output files")] = Path(),
) -> None:
    """Train a small CNN on digits, convert it with all methods, compare the results, and run one on Lava."""
    from lava_aug.examples.demo import demo as run_demo
    from lava_aug.experiments.comparison import STARS

    found = run_demo(directory, say=lambda text: tell(f"{text} …", progress_console))
    title = f"{found.comparison.num_images} test digits, 8-bit weights, by number of time steps"
    print_table(found.comparison.cells(), title, STARS)
    if found.lava is None:
        tell(f"Not run on Lava: {found.lava_missing}")
    elif found.lava.differences:
        tell("\n  ".join(["Lava differs from the simulator:", *found.lava.differences]))
    else:
        tell(
            f"Lava: {found.lava.num_images} images, {found.lava.num_steps} time steps each, "
            f"accuracy {100 * found.lava.accuracy:.2f} %; all {found.lava.num_spikes:,} spikes of all layers, "
            "every readout and every count equal the simulator's."
        )
    tell(f"Wrote {found.network}, {found.figure}, {found.weights}, {found.data}.")
    if found.lava is not None and found.lava.differences:
        raise typer.Exit(1)
