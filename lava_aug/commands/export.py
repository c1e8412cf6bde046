"""The command ``export``: converted networks in the formats of other tools."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from lava_aug.commands.console import print_table, tell
from lava_aug.commands.inputs import NetworkArgument, read_images, read_spiking
from lava_aug.core.errors import InputError


class Format(NamedTuple):
    """A format: what writes it and prints its report, one line of help, and which options it takes."""

    write: Callable[..., None]
    help: str
    options: frozenset[str] = frozenset()


def write_sdnn(net: Any, output: Path, images: str | None = None, threshold: float | None = None) -> None:
    """Write a stock Sigma-Delta netx file; print what was requantised."""
    import lava_aug as la

    typical = None if images is None else read_images(images, train=True)[0]
    found = la.export_sdnn(net, output, images=typical, threshold=threshold or 0.0)
    print_table(found.cells(), f"{net.method}, as a Sigma-Delta network")
    for note in found.notes:
        tell(f"- {note}")


def write_nir(net: Any, output: Path) -> None:
    """Write a NIR graph; print what readers lose that ignore our metadata."""
    import lava_aug as la
    from lava_aug.nir.losses import losses

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.ExportWarning)  # printed instead
        la.to_nir(net, output)
    for loss in losses(net):
        tell(f"- lost in other readers: {loss}")


FORMATS = {
    "nir": Format(write_nir, "NIR graph, for tools that support NIR"),
    "netx-sdnn": Format(
        write_sdnn,
        "Sigma-Delta network for unmodified lava.lib.dl.netx.hdf5.Network",
        frozenset({"images", "threshold"}),
    ),
}
"""Formats by name."""

FORMATS_HELP = "; ".join(f"{name}: {found.help}" for name, found in FORMATS.items())


def export(
    network: NetworkArgument,
    to: Annotated[str, typer.Option("--to", help=FORMATS_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")],
    images: Annotated[
        str | None,
        typer.Option("--images", "-c", help="netx-sdnn: typical images, for activation ranges; as --calibration"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="netx-sdnn: smallest change to send, relative to a layer's largest activation; default 0"),
    ] = None,
) -> None:
    """Write a network in the format of another tool."""
    if to not in FORMATS:
        raise InputError(f"--to {to!r}: expected one of {', '.join(FORMATS)}")
    given = {name: value for name, value in (("images", images), ("threshold", threshold)) if value is not None}
    unknown = sorted(set(given) - FORMATS[to].options)
    if unknown:
        raise InputError(f"--to {to}: takes no --{unknown[0]}; it takes {sorted(FORMATS[to].options) or 'no options'}")
    FORMATS[to].write(read_spiking(network), output, **given)
    tell(f"Wrote {output}.")
