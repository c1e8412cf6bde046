"""Atomic writing of files, with any number of concurrent writers."""

import errno
import os
import secrets
import stat
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lava_aug.core.errors import FileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTIAL = ".lava-aug-{}.partial"
"""Names of files that are not complete yet, each with a number of its own."""

STALE_SECONDS = 3600.0
"""How long nobody has written to an incomplete file that is taken for one that a writer, who died, has left."""

MAX_NAME_BYTES = 255
"""Longest name of a file on all usual file systems."""


@contextmanager
def whole_file(path: str | os.PathLike[str], *, make_folder: bool = False) -> Generator[Path, None, None]:
    """Where to write a file to: it takes the name that it was asked for, and an older one's place, once it is complete.

    Of an older one the mode is kept; if it is reached by a symbolic link, the link stays and leads to the new one. Any
    number of writers may write to one name: readers see the file of one of them, and the last one stays.

    Parameters
    ----------
    path : path
        The name that it gets.
    make_folder : bool
        Whether its folder is made if it is not there.

    Raises
    ------
    FileError
        If it cannot be written; what was there before is as it was, and nothing else is left.
    """
    check_output(path, make_folder=make_folder)
    target = Path(os.path.realpath(path))
    partial = target.with_name(PARTIAL.format(secrets.token_hex(8)))
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        _clear_stale(target.parent)
        try:
            yield partial
            _replace(target, partial)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:  # a FileError, too
        raise FileError(f"cannot write {str(path)!r}: {_reason(error)}") from error


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file of that name; names that no file can have are those of none."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def check_output(path: str | os.PathLike[str], *, make_folder: bool = False) -> None:
    """Whether a file can be written under a name, as far as that can be told before there is something to write.

    Raises
    ------
    FileError
        If not; the message says why.
    """
    try:
        problem = next((what for applies, what in _problems(Path(path), os.fspath(path), make_folder) if applies), None)
    except OSError as error:  # a folder that may not be looked into
        problem = _reason(error)
    if problem is not None:
        raise FileError(f"cannot write {os.fspath(path)!r}: {problem}")


def _problems(path: Path, text: str, make_folder: bool) -> Iterator[tuple[bool, str]]:
    """What may be wrong with a name, the most telling first."""
    length = max(len(os.fsencode(part)) for part in (path.name, *path.parts))
    yield not text, "expected the name of a file, found none"
    yield "\0" in text, "expected a name without NUL"
    yield length > MAX_NAME_BYTES, f"expected names of at most {MAX_NAME_BYTES} bytes, found one of {length}"
    yield path.is_dir() or text.endswith(os.sep), "it is a folder; give the name of a file in it"
    yield path.exists() and not path.is_file(), "it is no plain file"
    folder = Path(os.path.realpath(path)).parent
    yield not make_folder and not folder.is_dir(), f"there is no folder {str(folder)!r}"


def _clear_stale(folder: Path) -> None:
    """Take away what writers who died have left, once it is old: by name alone nobody can tell who still writes."""
    now = time.time()
    for leftover in folder.glob(PARTIAL.format("*")):
        with suppress(OSError):  # somebody else was faster
            if now - leftover.stat().st_mtime > STALE_SECONDS:
                leftover.unlink()


def _replace(target: Path, partial: Path) -> None:
    """Give a complete file its name, and the mode of the one that had it; on the disk before it takes its place."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(target.stat().st_mode)
        if mode != stat.S_IMODE(partial.stat().st_mode):  # not all file systems have modes
            partial.chmod(mode)
    with partial.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # the file system cannot say
                raise
    partial.replace(target)


def _reason(error: OSError) -> str:
    """What went wrong, in words; whatever library wrote: HDF5 has the number of the error in its text alone."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if error.errno in full or any(f"errno = {number}," in str(error) for number in full):
        return f"there is no room for it ({os.strerror(error.errno or errno.ENOSPC)})"
    return error.strerror or str(error)


def write_bytes(path: str | os.PathLike[str], data: bytes, *, make_folder: bool = False) -> None:
    """Write bytes to a file, whole or not at all.

    Raises
    ------
    FileError
        If that cannot be done.
    """
    with whole_file(path, make_folder=make_folder) as partial:
        partial.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, whole or not at all; its folder is made if it is not there.

    Raises
    ------
    FileError
        If that cannot be done.
    """
    write_bytes(path, text.encode(), make_folder=True)


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to an ``.npz``, whole or not at all.

    Raises
    ------
    FileError
        If that cannot be done.
    """
    import numpy as np

    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def figure_format(path: str | os.PathLike[str]) -> str:
    """The format of a figure by its file's ending, PNG without one; FileError if matplotlib has none of that name."""
    from matplotlib.backend_bases import FigureCanvasBase

    suffix = Path(path).suffix[1:].lower() or "png"
    known = FigureCanvasBase.get_supported_filetypes()
    if suffix not in known:
        raise FileError(
            f"cannot write {str(path)!r}: no format of figures ends in .{suffix}; known are {sorted(known)}"
        )
    return suffix


def write_figure(figure: "Figure", path: str | os.PathLike[str], dpi: int = 150, *, make_folder: bool = False) -> None:
    """Write a figure of matplotlib's, whole or not at all; the name's ending says in which format (default PNG).

    Raises
    ------
    FileError
        If there is no such format, or the file cannot be written.
    """
    suffix = figure_format(path)
    with whole_file(path, make_folder=make_folder) as partial:
        figure.savefig(partial, format=suffix, dpi=dpi)
