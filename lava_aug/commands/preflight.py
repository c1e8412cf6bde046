"""The command ``check``."""

from typing import Annotated

import typer

from lava_aug.commands import command
from lava_aug.commands.console import bar, show_verdict
from lava_aug.commands.inputs import JsonOption, NetworkArgument, StepsOption, read_images, read_spiking


@command("lava-aug check lenet.net --chips 1", order=70)
def check(
    network: NetworkArgument,
    images: Annotated[str | None, typer.Option("--images", help="typical images, for ranges of v and payloads")] = None,
    num_steps: StepsOption = None,
    chips: Annotated[int, typer.Option("--chips", help="number of chips available")] = 1,
    json: JsonOption = False,
) -> None:
    """Check a network against the public limits of Loihi 2; exit code 1 if it exceeds one of them."""
    import lava_aug as la

    net = read_spiking(network)
    x = None if images is None else read_images(images)[0]
    with bar("planning") as progress:
        found = la.check(net, x, num_steps, chips=chips, progress=progress)
    show_verdict(found, json)
