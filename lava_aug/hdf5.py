"""Writing HDF5 files whole, and reading those that nobody vouches for: every member is looked at before it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lava_aug.errors import FileError

MAX_DATASET_BYTES = 1 << 30
"""Larger datasets are refused before they are read: a few bytes of a malicious file can claim any size."""

COMPRESS_FROM = 1 << 10
"""Arrays of at least so many elements are compressed."""

PLAIN_KINDS = "iufbS"
"""Number formats that are read: integers, floats, booleans, fixed-length bytes. No references, no objects."""


def write_whole(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write a file whole, or not at all; an existing one is replaced once the new one is complete.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "w") as file:
            fill(file)
        partial.replace(target)
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a number, array, text or list of texts as a dataset."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        value = np.array([text.encode() for text in texts])  # fixed-length bytes, as netx stores its types
    options = {"compression": "gzip"} if np.size(value) >= COMPRESS_FROM else {}
    group.create_dataset(name, data=value, **options)


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
            texts = [bytes(text).decode() for text in np.ravel(found)]
            return texts if dataset.shape else texts[0]
        return found.item() if isinstance(found, np.generic) else found

    def text(self, name: str) -> str:
        """One text, stored as a scalar or as netx does, as an array of one."""
        found = self.value(name)
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(found, str):
            raise FileError(f"{self.where}: expected {name!r} to be a text, found {found!r}")
        return found

    def finish(self) -> None:
        """Complain about members that nobody has read: nothing in a file is dropped without a word."""
        if self._unread:
            raise FileError(f"{self.where}: unexpected {sorted(self._unread)}")

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = self._member(name)
        if not isinstance(dataset, h5py.Dataset):
            raise FileError(f"{self.where}: expected {name!r} to be a dataset, found a group")
        if dataset.dtype.kind not in PLAIN_KINDS or dataset.shape is None:
            raise FileError(f"{self.where}: dataset {name!r} has type {dataset.dtype}, expected numbers or text")
        if dataset.is_virtual or dataset.external:
            raise FileError(f"{self.where}: dataset {name!r} refers to another file, which is not followed")
        if dataset.nbytes > MAX_DATASET_BYTES:
            raise FileError(f"{self.where}: dataset {name!r} claims {dataset.nbytes:,} bytes; at most 1 GiB is read")
        return dataset

    def _member(self, name: str) -> Any:
        if name not in self._unread and name not in self._group:
            raise FileError(f"{self.where}: {name!r} is missing; there are {sorted(self._group)}")
        if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
            raise FileError(f"{self.where}: {name!r} is a link, which is not followed")
        self._unread.discard(name)
        return self._group[name]
