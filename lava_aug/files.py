"""Files that are written whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lava_aug.errors import FileError


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
