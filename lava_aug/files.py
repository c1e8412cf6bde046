"""Files that are written whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lava_aug.errors import FileError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a file to: it takes the name that it was asked for, and an older one's place, once it is complete.

    Raises
    ------
    FileError
        If it cannot be written; what was there before is as it was.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, whole or not at all; its folder is made if it is not there.

    Raises
    ------
    FileError
        If that cannot be done.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error}") from error
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8")
