"""The command ``export``: networks in other formats, whose options it takes from `lava_aug.formats`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import typer

from lava_aug.commands import command
from lava_aug.commands.console import check_outputs, print_table, tell
from lava_aug.commands.inputs import NetworkArgument, read_images, read_spiking
from lava_aug.core.errors import InputError
from lava_aug.formats import FORMATS, options_of

WRITERS = {name: file_format.write for name, file_format in FORMATS.items() if file_format.write is not None}
"""What writes each format."""

HELP = "; ".join(f"{name}: {str(FORMATS[name].__doc__).splitlines()[0].rstrip('.')}" for name in WRITERS)

KINDS: dict[type, tuple[type, Callable[[Any], Any]]] = {
    np.ndarray: (str, lambda source: read_images(source, train=True)[0]),
    **{kind: (kind, kind) for kind in (int, float, str)},
}
"""What options of formats hold: as what it is given on the command line, and what makes the value of that."""

SHORT = {"images": "-c"}
"""Options that have a short form."""


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of all formats in its signature, where typer looks for them."""
    *fixed, _ = inspect.signature(function).parameters.values()
    parameters: dict[str, inspect.Parameter] = {}
    for name, write in WRITERS.items():
        for option, (kind, text, default) in options_of(write).items():
            number = f"{default:g}" if isinstance(default, float) else default
            shown = f"{name}: {text}" + ("" if default is None else f"; default {number}")
            names = [f"--{option.replace('_', '-')}", *([SHORT[option]] if option in SHORT else [])]
            annotation = Annotated[KINDS[_held(kind)][0] | None, typer.Option(*names, help=shown)]
            parameters[option] = inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
    function.__signature__ = inspect.Signature([*fixed, *parameters.values()])  # pyright: ignore[reportFunctionMemberAccess]
    return function


def _held(kind: Any) -> type:
    """The type of an option that may be None, whatever its elements are."""
    held = kind if isinstance(kind, type) else next(iter(get_args(kind)), kind)
    return get_origin(held) or held


@command("lava-aug export lenet.net --to nir -o lenet.nir", order=120)
@with_options
def export(
    network: NetworkArgument,
    to: Annotated[str, typer.Option("--to", help=HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")],
    **options: Any,
) -> None:
    """Write a network in another format: for other tools, or, if it comes from one of them, for lava-aug."""
    if to not in WRITERS:
        raise InputError(f"--to {to!r}: expected one of {', '.join(WRITERS)}")
    taken = options_of(WRITERS[to])
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - taken.keys())
    if unknown:
        raise InputError(f"--to {to}: takes no --{unknown[0]}; it takes {sorted(taken) or 'no options'}")
    check_outputs(output)
    net = read_spiking(network)
    report = WRITERS[to](net, output, **{name: KINDS[_held(taken[name].kind)][1](given[name]) for name in given})
    for table in report.tables:
        print_table(table)
    for note in report.notes:
        tell(f"- {note}")
    tell(f"Wrote {output}.")
