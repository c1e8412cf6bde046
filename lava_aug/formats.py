"""The formats of files that networks are read from and exported to, each one class; `read_network` reads any of them.

`read_network`, the command ``export`` and the tests of files take from a class what they need: CONTRIBUTING.md says how
to add one. What reads and writes is imported when it is used.
"""

import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin

from numpy.typing import NDArray

from lava_aug.core.errors import ExportWarning, FileError, InputError
from lava_aug.core.network import Network
from lava_aug.core.tables import Table
from lava_aug.core.texts import brief

if TYPE_CHECKING:
    from lava_aug.netx.foreign import NetxNetwork
    from lava_aug.netx.hdf5 import Reader


class Report(NamedTuple):
    """What is to be said of an export: tables, and notes."""

    tables: Sequence[Table] = ()
    notes: tuple[str, ...] = ()


class Format:
    """A format. The first line of its docstring is its help."""

    name: ClassVar[str]
    recognises: "Callable[[Reader], bool]"
    """Whether a file is of this format, as far as its attributes and the names in it tell."""
    read: "Callable[..., Network | NetxNetwork]"
    """Makes a network of an open file."""
    write: Callable[..., Report] | None = None
    """Writes a network of ours to a path; None for formats that are only read."""


class Option(NamedTuple):
    """An option of reading or writing a format: what it holds, its help, and its default."""

    kind: Any
    help: str
    default: Any


FORMATS: dict[str, type[Format]] = {}
"""Formats by name."""

FormatType = TypeVar("FormatType", bound=type[Format])


def file_format(cls: FormatType) -> FormatType:
    """Class decorator: enter a format among the `FORMATS`."""
    FORMATS[cls.name] = cls
    return cls


def options_of(function: Callable[..., Any] | None) -> dict[str, Option]:
    """The options of a format's `read` or `write`: those parameters that are ``Annotated`` with their help."""
    options: dict[str, Option] = {}
    parameters: Mapping[str, Any] = {} if function is None else inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if get_origin(parameter.annotation) is Annotated:
            kind, text = get_args(parameter.annotation)
            options[name] = Option(kind, text, parameter.default)
    return options


@file_format
class Own(Format):
    """lava-aug's own, with every parameter of the network."""

    name = "lava-aug"

    @staticmethod
    def recognises(root: "Reader") -> bool:
        return "layer" in root and root.attribute("format") == Own.name

    @staticmethod
    def read(root: "Reader") -> Network:
        from lava_aug.netx.networks import read_file

        return read_file(root)

    @staticmethod
    def write(net: Network, path: Path) -> Report:
        from lava_aug.netx.networks import save

        save(net, path)
        return Report()


@file_format
class Nir(Format):
    """NIR graph, for tools that support NIR."""

    name = "nir"

    @staticmethod
    def recognises(root: "Reader") -> bool:
        return root.is_group("node") and "layer" not in root

    @staticmethod
    def read(root: "Reader") -> Network:
        from lava_aug.nir.files import read_file

        return read_file(root)

    @staticmethod
    def write(net: Network, path: Path) -> Report:
        from lava_aug.nir.files import export, losses

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExportWarning)  # reported instead
            export(net, path)
        return Report(notes=tuple(f"lost in other readers: {loss}" for loss in losses(net)))


@file_format
class Netx(Format):
    """Sigma-Delta network for unmodified lava.lib.dl.netx.hdf5.Network."""

    name = "netx-sdnn"

    @staticmethod
    def recognises(root: "Reader") -> bool:
        return "layer" in root and root.attribute("format") in (None, Netx.name)  # None: lava-dl's own

    @staticmethod
    def read(
        root: "Reader", *, num_layers: Annotated[int | None, "read only the first layers, this many"] = None
    ) -> "NetxNetwork":
        from lava_aug.netx.foreign import read_file

        return read_file(root, num_layers)

    @staticmethod
    def write(
        net: Network,
        path: Path,
        *,
        images: Annotated[NDArray[Any] | None, "typical images, for activation ranges; as --calibration"] = None,
        threshold: Annotated[float, "smallest change to send, relative to a layer's largest activation"] = 0.0,
    ) -> Report:
        from lava_aug.netx.exporting import export

        made = export(net, path, images=images, threshold=threshold)
        return Report(made.tables(), made.notes)


def read_network(path: str | os.PathLike[str], num_layers: int | None = None) -> "Network | NetxNetwork":
    """Read a network from a file of any format: of ours, of an export, of lava-dl, or of another NIR tool.

    Parameters
    ----------
    path : path
        The file.
    num_layers : int, optional
        For lava-dl's files: read only this many layers.

    Returns
    -------
    Network or lava_aug.netx.NetxNetwork
        What `load`, `lava_aug.nir.load` or `lava_aug.netx.load` returns.

    Raises
    ------
    InputError
        If ``num_layers`` is given for a file that is not lava-dl's.
    FileError
        If the file cannot be read.
    """
    from lava_aug.netx.hdf5 import opened

    given = {} if num_layers is None else {"num_layers": num_layers}
    with opened(path) as root:
        recognised = format_of(root)
        if not given.keys() <= options_of(recognised.read).keys():
            raise InputError("num_layers: only files of lava-dl's can be read in part")
        return recognised.read(root, **given)


def format_of(root: "Reader") -> type[Format]:
    """The format of an open file; FileError if it is none that is known."""
    for candidate in FORMATS.values():
        if candidate.recognises(root):
            return candidate
    raise FileError(
        f"expected a network in one of the formats {', '.join(FORMATS)}, or of lava-dl's; found the attribute 'format' "
        f"{brief(root.attribute('format'))}, and in the file {brief(root.names)}"
    )
