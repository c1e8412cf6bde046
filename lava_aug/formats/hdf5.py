"""HDF5 files: written whole or not at all; read, whoever made them, with a look at members before they are followed.

A few bytes of a file can claim any size, by a shape, by the size of a compressed block, or by the length of a text. So
everything is asked for its size first, and a file gets `MAX_FILE_BYTES` of arrays altogether.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lava_aug.errors import FileError, LavaAugError
from lava_aug.files import whole_file
from lava_aug.formats.hdf5_raw import RawFile
from lava_aug.spec import Spec
from lava_aug.texts import brief

MAX_FILE_BYTES = 3 << 26
"""Most bytes of arrays, decompressed, that one file may hold: 192 MiB; VGG-16 has 132 MiB of 8-bit weights.

What is made of them while they are checked takes up to three times as much again."""

MAX_TEXTS = 1 << 12
"""Most texts in one dataset: each becomes an object of Python, which is larger than what is stored."""

MAX_TEXT_BYTES = 1 << 12
"""Longest text."""

TEXT_BYTES = 16
"""Of an array's element that is a text without a fixed length: its length, and where it is."""

MAX_BLOCKS = 1 << 14
"""Most blocks that an array is stored in: HDF5 keeps about 4 kB for each, whether it holds anything or not."""

MAX_GROUPS = 1 << 12
"""Most numbered groups, which are layers and synapses."""

PLAIN_KINDS = "iufbS"
"""Number formats that are read: integers, floats, booleans, fixed-length bytes. No references, no objects."""

PLAIN_FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
}
"""Filters that HDF5 brings along; for others it would look for a library and load it."""

COMPRESS_FROM = 1 << 10
"""Arrays of at least so many elements are compressed."""


class Budget:
    """What may still be read of a file.

    Parameters
    ----------
    left : int
        Bytes.
    """

    def __init__(self, left: int = MAX_FILE_BYTES) -> None:
        self.left = left

    def take(self, size: int, where: str) -> None:
        """Count a dataset; FileError if that is more than is left."""
        if size > self.left:
            raise FileError(
                f"{where} claims {size:,} bytes; of a file at most {MAX_FILE_BYTES:,} are read, and {self.left:,} "
                "of them are left"
            )
        self.left -= size


class Reader:
    """A group of a file, and what has been read of it.

    Parameters
    ----------
    group : h5py.Group
        What to read.
    where : str
        How errors call it.
    budget : Budget, optional
        Shared by all readers of a file; default one of its own.
    """

    def __init__(self, group: h5py.Group, where: str, budget: Budget | None = None) -> None:
        self.where = where
        self._group = group
        self._budget = budget or Budget()
        self._raw = RawFile(group.file)
        self._unread = set(group)

    def __contains__(self, name: str) -> bool:
        return name in self._group

    @property
    def names(self) -> list[str]:
        """The members, sorted."""
        return sorted(self._group)

    def group(self, name: str) -> "Reader":
        """A subgroup."""
        found = self._member(name)
        if not isinstance(found, h5py.Group):
            raise FileError(f"{self.where}: expected {name!r} to be a group, found {_kind(found)}")
        return Reader(found, f"{self.where}/{name}", self._budget)

    def is_group(self, name: str) -> bool:
        """Whether a member is there and is a group."""
        return name in self and isinstance(self._linked(name), h5py.Group)

    def numbered(self) -> list["Reader"]:
        """The subgroups 0, 1, 2, …, which must be all there is."""
        if len(self._unread) > MAX_GROUPS:
            raise FileError(f"{self.where}: expected at most {MAX_GROUPS:,} groups, found {len(self._unread):,}")
        names = [str(index) for index in range(len(self._unread))]
        if sorted(self._unread) != sorted(names) or not names:
            raise FileError(f"{self.where}: expected groups numbered from 0, found {brief(sorted(self._unread))}")
        return [self.group(name) for name in names]

    def value(self, name: str) -> Any:
        """A dataset: a number, text or list of texts as Python has them, else an array."""
        found = self.texts(name)
        if found.ndim == 0:
            return found.item()
        return found.ravel().tolist() if found.dtype == object else found

    def texts(self, name: str) -> np.ndarray:
        """A dataset as an array; texts, of fixed length or of any, are an array of objects."""
        dataset = self._member(name)
        info = h5py.check_string_dtype(dataset.dtype) if isinstance(dataset, h5py.Dataset) else None
        if info is not None and info.length is None:
            return self._long_texts(name, dataset)
        found = np.asarray(self._dataset(name)[()])
        if info is None:
            return found
        decoded = [self._decoded(name, text) for text in np.ravel(found)]
        return np.array(decoded, object).reshape(found.shape)

    def text(self, name: str) -> str:
        """One text, a scalar or an array of one."""
        found = self.value(name)
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(found, str):
            raise FileError(f"{self.where}: expected {name!r} to be a text, found {brief(found)}")
        return found

    def attribute(self, name: str) -> Any:
        """An attribute, one number or text, as Python has it; None if there is none."""
        attributes = self._group.attrs
        if name not in attributes:
            return None
        found = attributes.get_id(name)
        if found.dtype.kind not in PLAIN_KINDS:
            raise FileError(
                f"{self.where}: attribute {name!r} has type {found.dtype}, expected a number or a text of fixed length"
            )
        if found.shape not in ((), (1,)) or found.dtype.itemsize > MAX_TEXT_BYTES:
            raise FileError(f"{self.where}: attribute {name!r} has shape {found.shape}, expected one number or text")
        read: Any = attributes[name]
        value = np.ravel(read)[0].item()
        return self._decoded(name, value) if isinstance(value, bytes) else value

    def finish(self) -> None:
        """Complain about members that nobody has read: nothing in a file is dropped without a word."""
        if self._unread:
            raise FileError(f"{self.where}: unexpected {brief(sorted(self._unread))}")

    def _decoded(self, name: str, found: bytes) -> str:
        try:
            return bytes(found).decode()
        except UnicodeDecodeError:
            raise FileError(f"{self.where}: {name!r} is no text in UTF-8: {bytes(found)[:40]!r}") from None

    def _long_texts(self, name: str, dataset: h5py.Dataset) -> np.ndarray:
        """Texts without a fixed length: few enough, and none longer than it may be."""
        self._check_storage(name, dataset)
        size = math.prod(dataset.shape or ())
        if dataset.shape is None or size > MAX_TEXTS:
            raise FileError(f"{self.where}: dataset {name!r} claims {size:,} texts; at most {MAX_TEXTS:,} are read")
        place = dataset.id.get_offset()
        if place is None:
            raise FileError(f"{self.where}: expected the texts of {name!r} in one piece")
        try:
            found = [self._raw.text(place + TEXT_BYTES * index, MAX_TEXT_BYTES) for index in range(size)]
        except FileError as error:
            raise FileError(f"{self.where}: {name!r}: {error}") from None
        self._budget.take(sum(map(len, found)), f"{self.where}: dataset {name!r}")
        decoded = [self._decoded(name, text) for text in found]
        return np.array(decoded, object).reshape(dataset.shape)

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = self._member(name)
        if not isinstance(dataset, h5py.Dataset):
            raise FileError(f"{self.where}: expected {name!r} to be a dataset, found {_kind(dataset)}")
        if dataset.dtype.kind not in PLAIN_KINDS or dataset.shape is None:
            raise FileError(f"{self.where}: dataset {name!r} has type {dataset.dtype}, expected numbers or text")
        size = math.prod(dataset.shape)
        if dataset.dtype.kind == "S" and (size > MAX_TEXTS or dataset.dtype.itemsize > MAX_TEXT_BYTES):
            raise FileError(f"{self.where}: dataset {name!r} claims {size:,} texts of {dataset.dtype.itemsize:,} bytes")
        self._budget.take(size * dataset.dtype.itemsize, f"{self.where}: dataset {name!r}")
        self._check_storage(name, dataset)
        return dataset

    def _check_storage(self, name: str, dataset: h5py.Dataset) -> None:
        """Where and how the data lie: in this file, with known filters, in blocks that can be read."""
        where = f"{self.where}: dataset {name!r}"
        if dataset.external:
            raise FileError(f"{where} refers to another file, which is not followed")
        filters: Any = dataset.id.get_create_plist()
        for index in range(filters.get_nfilters()):
            code = filters.get_filter(index)[0]
            if code not in PLAIN_FILTERS:
                raise FileError(f"{where} has filter {code}, expected one of {sorted(PLAIN_FILTERS.values())}")
        if dataset.chunks is None:
            return
        block = math.prod(dataset.chunks) * dataset.dtype.itemsize
        blocks = math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
        if block > MAX_FILE_BYTES or blocks > MAX_BLOCKS:
            raise FileError(
                f"{where} claims {blocks:,} blocks of {block:,} bytes; at most {MAX_BLOCKS:,} blocks and "
                f"{MAX_FILE_BYTES:,} bytes are read"
            )

    def _member(self, name: str) -> Any:
        found = self._linked(name)
        self._unread.discard(name)
        return found

    def _linked(self, name: str) -> Any:
        if name not in self._unread and name not in self._group:
            raise FileError(f"{self.where}: {name!r} is missing; there are {brief(sorted(self._group))}")
        if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
            raise FileError(f"{self.where}: {name!r} is a link, which is not followed")
        address = self._group.id.links.get_info(name.encode()).u
        if self._raw.is_virtual(address):
            raise FileError(f"{self.where}: dataset {name!r} refers to another file, which is not followed")
        return self._group[name]


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


def write_whole(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file whole, or not at all; an existing one is replaced once the new one is complete.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        fill(file)


def _kind(found: Any) -> str:
    return f"a {type(found).__name__.lower()}"


def parameters(cls: type[Spec], group: Reader) -> dict[str, Any]:
    """Declared parameters as far as a group has them; those that must be there, and are not, are an error."""
    found: dict[str, Any] = {}
    required = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}  # pyright: ignore
    for name, declaration in cls.declarations():
        stored_as = declaration.stored_as
        if stored_as is not None and (stored_as in group or name in required):
            value = group.value(stored_as)
            found[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
    return found


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a dataset; texts as bytes of fixed length, as netx stores its types."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        value = np.array([text.encode() for text in texts])
    options = {"compression": "gzip"} if np.size(value) >= COMPRESS_FROM else {}
    group.create_dataset(name, data=value, **options)


def put_spec(group: h5py.Group, spec: Spec) -> None:
    """Write all parameters that are set."""
    for name, declaration in spec.declarations():
        value = getattr(spec, name)
        if declaration.stored_as is not None and value is not None:
            put(group, declaration.stored_as, value)
