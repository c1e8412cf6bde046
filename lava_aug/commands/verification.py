"""The command ``verify``."""

from typing import Annotated

import typer

from lava_aug.commands import command
from lava_aug.commands.console import bar, show_verdict
from lava_aug.commands.inputs import (
    IMAGES_HELP,
    JsonOption,
    NetworkArgument,
    StepsOption,
    WeightsOption,
    read_images,
    read_model,
    read_spiking,
)
from lava_aug.core.errors import InputError


@command("lava-aug verify lenet.net --num-images 2", order=110)
def verify(
    network: NetworkArgument,
    images: Annotated[
        str | None,
        typer.Option("--images", help=f"{IMAGES_HELP}; default random, one all black, one all white"),
    ] = None,
    num_images: Annotated[
        int | None, typer.Option(help="number of random images, or of images from --images; default 4, or all")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the random images")] = 0,
    num_steps: StepsOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="the original model, to show the errors by layer as well"),
    ] = None,
    weights: WeightsOption = None,
    no_lava: Annotated[bool, typer.Option("--no-lava", help="skip Lava")] = False,
    timeout: Annotated[float | None, typer.Option(help="time limit of each run on Lava, in seconds")] = None,
    json: JsonOption = False,
) -> None:
    """Check that specification, simulator, file and Lava agree: exit code 0, or 1 and the first difference."""
    import lava_aug as la

    if weights is not None and model is None:
        raise InputError("--weights: expected the model that they belong to; give it with --model")
    if images is not None and num_images is not None and num_images < 1:
        raise InputError(f"--num-images: expected at least 1, found {num_images}")
    net = read_spiking(network)
    chosen = {} if num_images is None else {"num_images": num_images}
    with bar("verifying") as progress:
        verification = la.verify(
            net,
            None if images is None else read_images(images)[0][:num_images],
            num_steps,
            model=None if model is None else read_model(model, weights),
            lava=not no_lava,
            seed=seed,
            timeout=timeout,
            progress=progress,
            **chosen,
        )
    show_verdict(verification, json)
