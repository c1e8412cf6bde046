"""The command ``export``: a network file in the format of another tool."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lava_aug.commands.console import out
from lava_aug.commands.inputs import NetworkArgument
from lava_aug.errors import InputError


def _nir(net: Any, path: Path) -> list[str]:
    import lava_aug as la
    from lava_aug.nir_losses import losses

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.ExportWarning)  # printed as remarks
        la.to_nir(net, path)
    return [f"Lost on other readers: {loss}" for loss in losses(net)]


FORMATS: dict[str, Callable[[Any, Path], list[str]]] = {"nir": _nir}
"""By name: writes a network to a path, and returns the remarks to print."""


def export(
    network: NetworkArgument,
    to: Annotated[str, typer.Option("--to", help=f"the format: {', '.join(FORMATS)}")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")],
) -> None:
    """Write a network in the format of another tool."""
    import lava_aug as la

    if to not in FORMATS:
        raise InputError(f"--to {to!r}: expected one of {', '.join(FORMATS)}")
    for remark in FORMATS[to](la.load(network), output):
        out.print(remark, markup=False, soft_wrap=True)
    out.print(f"Wrote {output}.", markup=False, soft_wrap=True)
