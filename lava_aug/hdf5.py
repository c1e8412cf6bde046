"""HDF5 files: written whole or not at all; read, whoever made them, with a look at members before they are followed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lava_aug.errors import FileError, LavaAugError

MAX_DATASET_BYTES = 1 << 30
"""Larger datasets are refused before they are read: a few bytes of a malicious file can claim any size."""

COMPRESS_FROM = 1 << 10
"""Arrays of at least so many elements are compressed."""

MAX_COMPRESSION = 1032
"""Bytes of a dataset that one byte of a file can stand for: deflate's limit (https://zlib.net/zlib_tech.html)."""

PLAIN_KINDS = "iufbS"
"""Number formats that are read: integers, floats, booleans, fixed-length bytes. No references, no objects."""


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a file to: it takes the name that it was asked for once it is complete; FileError if it cannot."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file whole, or not at all; an existing one is replaced once the new one is complete.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        fill(file)


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a number, array, text or list of texts as a dataset."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        value = np.array([text.encode() for text in texts])  # fixed-length bytes, as netx stores its types
    options = {"compression": "gzip"} if np.size(value) >= COMPRESS_FROM else {}
    group.create_dataset(name, data=value, **options)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A file to read; whatever goes wrong with it meanwhile is a FileError that names it."""
    target = Path(path)
    if not target.is_file():
        raise FileError(f"{str(target)!r}: no such file")
    try:
        with h5py.File(target, "r") as file:
            yield file
    except LavaAugError as error:
        raise FileError(f"{str(target)!r}: {error}") from None
    except Exception as error:  # h5py raises nearly everything on damaged files
        raise FileError(f"{str(target)!r}: damaged, or not an HDF5 file: {error}") from error


class Reader:
    """A group of a file, and what has been read of it.

    Parameters
    ----------
    group : h5py.Group
        What to read.
    where : str
        How errors call it.
    """

    def __init__(self, group: h5py.Group, where: str) -> None:
        self.where = where
        self._group = group
        self._unread = set(group)

    def __contains__(self, name: str) -> bool:
        return name in self._group

    @property
    def names(self) -> list[str]:
        """The members, sorted."""
        return sorted(self._group)

    def is_group(self, name: str) -> bool:
        """Whether a member is there and is a group."""
        return name in self and isinstance(self._member(name), h5py.Group)

    def group(self, name: str) -> "Reader":
        """A subgroup."""
        found = self._member(name)
        if not isinstance(found, h5py.Group):
            raise FileError(f"{self.where}: expected {name!r} to be a group, found a dataset")
        return Reader(found, f"{self.where}/{name}")

    def numbered(self) -> list["Reader"]:
        """The subgroups 0, 1, 2, …, which must be all there is."""
        names = [str(index) for index in range(len(self._unread))]
        if sorted(self._unread) != sorted(names) or not names:
            raise FileError(f"{self.where}: expected groups numbered from 0, found {sorted(self._unread)}")
        return [self.group(name) for name in names]

    def value(self, name: str) -> Any:
        """A dataset: a number, text or list of texts as Python has them, else an array."""
        dataset = self._dataset(name)
        found = dataset[()]
        if dataset.dtype.kind == "S":
            texts = _decoded(found)
            return texts.ravel().tolist() if dataset.shape else texts.item()
        return found.item() if isinstance(found, np.generic) else found

    def text(self, name: str) -> str:
        """One text, stored as a scalar or as netx does, as an array of one."""
        found = self.texts(name)
        if not isinstance(found, np.ndarray) or found.size != 1:
            raise FileError(f"{self.where}: expected {name!r} to be a text, found {found!r}")
        return found.item()

    def texts(self, name: str) -> Any:
        """An array of texts, of fixed length or of any; whatever else is there as `value` has it."""
        found = self._member(name)
        if not isinstance(found, h5py.Dataset) or h5py.check_string_dtype(found.dtype) is None:
            return self.value(name)
        return _decoded(self._dataset(name, texts=True)[()])

    def finish(self) -> None:
        """Complain about members that nobody has read: nothing in a file is dropped without a word."""
        if self._unread:
            raise FileError(f"{self.where}: unexpected {sorted(self._unread)}")

    def _dataset(self, name: str, *, texts: bool = False) -> h5py.Dataset:
        dataset = self._member(name)
        if not isinstance(dataset, h5py.Dataset):
            raise FileError(f"{self.where}: expected {name!r} to be a dataset, found a group")
        if dataset.shape is None or not (texts or dataset.dtype.kind in PLAIN_KINDS):
            raise FileError(f"{self.where}: dataset {name!r} has type {dataset.dtype}, expected numbers or text")
        if dataset.is_virtual or dataset.external:
            raise FileError(f"{self.where}: dataset {name!r} refers to another file, which is not followed")
        if dataset.nbytes > MAX_DATASET_BYTES:
            raise FileError(f"{self.where}: dataset {name!r} claims {dataset.nbytes:,} bytes; at most 1 GiB is read")
        if dataset.nbytes > MAX_COMPRESSION * dataset.file.id.get_filesize():
            raise FileError(f"{self.where}: dataset {name!r} claims {dataset.nbytes:,} bytes, more than the file holds")
        return dataset

    def _member(self, name: str) -> Any:
        if name not in self._unread and name not in self._group:
            raise FileError(f"{self.where}: {name!r} is missing; there are {sorted(self._group)}")
        if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
            raise FileError(f"{self.where}: {name!r} is a link, which is not followed")
        self._unread.discard(name)
        return self._group[name]


def _decoded(found: Any) -> np.ndarray:
    """Bytes as texts, an array of objects."""
    texts = [bytes(text).decode() for text in np.ravel(np.asarray(found, object))]
    return np.array(texts, object).reshape(np.shape(found))
