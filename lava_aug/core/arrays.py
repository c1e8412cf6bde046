"""Arrays from untrusted ``.npy`` and ``.npz`` files.

numpy makes room for what a header claims before it looks, and says of much that is wrong how to have it read all the
same, by executing what is in it. So headers are read here, checked against the file's contents, and errors are reported
in our own words.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.texts import brief

MAGIC = b"\x93NUMPY"

HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
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
    values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    file.read()  # an archive's checksum is looked at where the file ends
    return values


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version: tuple[int, int] = np.lib.format.read_magic(file)
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
