"""Files: written atomically, with any number of concurrent writers; and arrays read from untrusted ones.

numpy makes room for what the header of a ``.npy`` or ``.npz`` file claims before it looks, and says of much that is
wrong how to have it read all the same, by executing what is in it. So headers are read here, checked against the file's
contents, and errors are reported in our own words.
"""

import contextlib
import errno
import math
import os
import secrets
import stat
import time
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import FileError, InputError
from lava_aug.core.texts import brief

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
        cast(Any, figure).savefig(partial, format=suffix, dpi=dpi)


MAGIC = b"\x93NUMPY"

_FORMAT = cast(Any, np.lib.format)
"""numpy's module, which leaves types open."""

HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): _FORMAT.read_array_header_1_0,
    (2, 0): _FORMAT.read_array_header_2_0,
}
"""What reads the header of a version; version 3 is for names of fields, and arrays with fields are not read."""

PLAIN_KINDS = "biufSU"
"""Kinds of elements that are read: numbers, truth values, texts of fixed length. No objects, no fields."""

MAX_RATIO, ANY_SIZE = 200, 1 << 28
"""An archive's array of more than 256 MiB may be so many times larger than what is stored of it."""


def read_array(path: str | os.PathLike[str], name: str) -> NDArray[Any]:
    """The array of an ``.npy``, whatever its name, or the one of that name in an ``.npz``.

    Parameters
    ----------
    path : path
        The file.
    name : str
        Which array of an archive.

    Raises
    ------
    InputError
        If the file cannot be read, is damaged, or holds something else; nothing in it is executed.
    """
    with _opened(path) as file:
        if file.read(len(MAGIC)) == MAGIC:
            return _array(file, os.fstat(file.fileno()).st_size)
        with zipfile.ZipFile(file) as archive:
            return _member(archive, name, os.fstat(file.fileno()).st_size)


def has_array(path: str | os.PathLike[str], name: str) -> bool:
    """Whether a file is an ``.npz`` that has an array of that name; otherwise as `read_array`."""
    with _opened(path) as file:
        if file.read(len(MAGIC)) == MAGIC:
            return False
        with zipfile.ZipFile(file) as archive:
            return f"{name}.npy" in archive.namelist()


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[IO[bytes], None, None]:
    """A file to read; whatever goes wrong with it is an InputError that names it."""
    where = f"{os.fspath(path)!r}: cannot be read as .npy or .npz"
    try:
        with Path(path).open("rb") as file:
            yield file
    except InputError as error:
        raise InputError(f"{os.fspath(path)!r}: {error}") from None
    except zipfile.BadZipFile as error:
        raise InputError(f"{where}: it is neither, or damaged: {error}") from error
    except MemoryError as error:
        raise InputError(f"{where}: there is not enough memory for it") from error
    except Exception as error:  # zipfile, zlib and numpy raise nearly everything on damaged files
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{where}: {reason}") from error


def _member(archive: zipfile.ZipFile, name: str, size: int) -> NDArray[Any]:
    member = {info.filename: info for info in archive.infolist()}.get(f"{name}.npy")
    if member is None:
        names = sorted(entry.removesuffix(".npy") for entry in archive.namelist())
        raise InputError(f"expected an array named {name!r}, found {brief(names)}")
    if member.flag_bits & 1:
        raise InputError(f"array {name!r} is encrypted; write it without a password")
    stored = min(size, member.compress_size)
    if member.file_size > max(ANY_SIZE, MAX_RATIO * stored):
        raise InputError(
            f"array {name!r} claims {member.file_size:,} bytes, of which {stored:,} are stored; at most {MAX_RATIO} "
            "times as many are read"
        )
    with archive.open(member) as file:
        return _array(file, member.file_size, name)


def _array(file: IO[bytes], size: int, name: str = "") -> NDArray[Any]:
    """The array of an open file of a size, once its header agrees with that."""
    where = f"array {name!r}: " if name else ""
    file.seek(0)
    shape, dtype = _header(file, where)
    if dtype.kind not in PLAIN_KINDS:
        kind = "objects of Python" if dtype.hasobject else str(dtype)
        raise InputError(f"{where}expected numbers, found {kind}, which are not read")
    claimed, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != held:
        raise InputError(
            f"{where}its header claims {claimed:,} bytes, shape {brief(shape)} of {dtype}; it has {held:,}"
        )
    file.seek(0)
    values: NDArray[Any] = _FORMAT.read_array(file, allow_pickle=False)
    file.read()  # an archive's checksum is looked at where the file ends
    return values


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version: tuple[int, int] = _FORMAT.read_magic(file)
    if version not in HEADERS:
        raise InputError(f"{where}expected version 1.0 or 2.0 of .npy, found {'.'.join(map(str, version))}")
    try:
        shape, _, dtype = HEADERS[version](file)
    except Exception as error:  # it is a Python expression, with whatever can be wrong in one
        text = " ".join(str(error).split())
        raise InputError(f"{where}its header cannot be read: {text[:100]}") from error
    if any(size < 0 for size in shape):
        raise InputError(f"{where}its header claims the shape {brief(shape)}")
    return shape, dtype
