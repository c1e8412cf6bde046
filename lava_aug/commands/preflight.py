"""The command ``check``."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from lava_aug.commands import command
from lava_aug.commands.console import bar, show_verdict
from lava_aug.commands.inputs import JsonOption, NetworkArgument, StepsOption, read_images, read_spiking
from lava_aug.core.errors import InputError


def _loihi2(*arguments: Any, **options: Any) -> Any:
    import lava_aug as la

    return la.check_loihi2(*arguments, **options)


TARGETS: dict[str, Callable[..., Any]] = {"loihi2": _loihi2}
"""What checks a network for a target."""


@command("lava-aug check lenet.net --target loihi2 --chips 1", order=70)
def check(
    network: NetworkArgument,
    target: Annotated[str, typer.Option("--target", help=f"the hardware: {', '.join(TARGETS)}")] = "loihi2",
    images: Annotated[str | None, typer.Option("--images", help="typical images, for ranges of v and payloads")] = None,
    num_steps: StepsOption = None,
    chips: Annotated[int, typer.Option("--chips", help="number of chips available")] = 1,
    json: JsonOption = False,
) -> None:
    """Check a network against the public limits of a target; exit code 1 if it exceeds one of them."""
    if target not in TARGETS:
        raise InputError(f"--target: expected one of {', '.join(TARGETS)}, found {target!r}")
    net = read_spiking(network)
    x = None if images is None else read_images(images)[0]
    with bar("planning") as progress:
        preflight = TARGETS[target](net, x, num_steps, chips=chips, progress=progress)
    show_verdict(preflight, json)
