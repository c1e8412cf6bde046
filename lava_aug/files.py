"""Files that are written whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lava_aug.errors import FileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def whole_file(path: str | os.PathLike[str], *, make_folder: bool = False) -> Iterator[Path]:
    """Where to write a file to: it takes the name that it was asked for, and an older one's place, once it is complete.

    Parameters
    ----------
    path : path
        The name that it gets.
    make_folder : bool
        Whether its folder is made if it is not there.

    Raises
    ------
    FileError
        If it cannot be written; what was there before is as it was.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, whole or not at all; its folder is made if it is not there.

    Raises
    ------
    FileError
        If that cannot be done.
    """
    with whole_file(path, make_folder=True) as partial:
        partial.write_text(text, encoding="utf-8")


def write_figure(figure: "Figure", path: str | os.PathLike[str], dpi: int = 150, *, make_folder: bool = False) -> None:
    """Write a figure of matplotlib's, whole or not at all; the name's ending says in which format (default PNG).

    Raises
    ------
    FileError
        If there is no such format, or the file cannot be written.
    """
    suffix = Path(path).suffix[1:].lower() or "png"
    try:
        with whole_file(path, make_folder=make_folder) as partial:
            figure.savefig(partial, format=suffix, dpi=dpi)
    except ValueError as error:  # an ending that it does not know
        raise FileError(f"cannot write {str(path)!r}: {error}") from error
