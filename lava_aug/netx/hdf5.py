"""Groups of HDF5 files of networks: read from untrusted files, checked before they are followed, and written."""

import dataclasses
import math
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from h5py import h5l, h5o
from numpy.typing import NDArray

from lava_aug.core.errors import ExportWarning, FileError, InputError, LavaAugError, SpecError
from lava_aug.core.files import is_file
from lava_aug.core.fixed_point import is_array, is_list
from lava_aug.core.spec import MAX_TEXT_BYTES, Spec
from lava_aug.core.texts import brief
from lava_aug.netx.hdf5_bytes import MAX_BLOCKS, Source

MAX_TEXTS = 1 << 12
"""Most texts in one dataset: each becomes an object of Python, which is larger than what is stored."""

TEXT_BYTES = 16
"""Of an array's element that is a text without a fixed length: its length, and where it is."""

MAX_GROUPS = 1 << 12
"""Most numbered groups, which are layers and synapses."""

PLAIN_KINDS = "iufbS"
"""Number formats that are read: integers, floats, booleans, fixed-length bytes. No references, no objects."""

PLAIN_FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
}
"""Filters that are built into HDF5; for others it would look for a library and load it."""

COMPRESS_FROM = 1 << 10
"""Arrays of at least so many elements are compressed,"""

COMPRESS_TO = 1 << 28
"""and of at most so many bytes: h5py cuts larger ones into more blocks than are read."""

SpecType = TypeVar("SpecType", bound=Spec)


class Reader:
    """A group of a file, and what has been read of it.

    Parameters
    ----------
    group : h5py.Group
        What to read.
    where : str
        How errors call it.
    source : Source, optional
        Shared by all readers of a file; default the group's own.
    """

    def __init__(self, group: h5py.Group, where: str, source: Source | None = None) -> None:
        self.where = where
        self._group = group
        self._source = source or Source(group.file)
        self._members = frozenset(group)
        self._unread = set(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def names(self) -> list[str]:
        """The members, sorted."""
        return sorted(self._members)

    def group(self, name: str) -> "Reader":
        """A subgroup."""
        member = self._member(name)
        if not isinstance(member, h5py.h5g.GroupID):
            raise FileError(f"{self.where}: expected {name!r} to be a group, found {_kind(member)}")
        return Reader(h5py.Group(member), f"{self.where}/{name}", self._source)

    def is_group(self, name: str) -> bool:
        """Whether a member is there and is a group."""
        return name in self and isinstance(self._linked(name), h5py.h5g.GroupID)

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
        values = self.texts(name)
        if values.ndim == 0:
            return values.item()
        return values.ravel().tolist() if values.dtype == object else values

    def texts(self, name: str) -> NDArray[Any]:
        """A dataset as an array; texts, of fixed length or of any, are an array of objects."""
        dataset = self._member(name)
        if not isinstance(dataset, h5py.h5d.DatasetID):
            raise FileError(f"{self.where}: expected {name!r} to be a dataset, found {_kind(dataset)}")
        where, dtype = f"{self.where}: dataset {name!r}", dataset.dtype
        info = h5py.check_string_dtype(dtype)
        if info is not None and info.length is None:
            return self._long_texts(name, dataset, where)
        self._check(dataset, dtype, where)
        elements = np.empty(dataset.shape, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, elements)
        if info is None:
            return elements
        decoded = [self._decoded(name, text) for text in np.ravel(elements)]
        return np.array(decoded, object).reshape(elements.shape)

    def text(self, name: str) -> str:
        """One text, a scalar or an array of one."""
        content = _alone(self.value(name))
        if not isinstance(content, str):
            raise FileError(f"{self.where}: expected {name!r} to be a text, found {brief(content)}")
        return content

    def attribute(self, name: str) -> Any:
        """An attribute, one number or text, as Python has it; None if there is none."""
        attributes = self._group.attrs
        if name not in attributes:
            return None
        attribute = attributes.get_id(name)
        if attribute.dtype.kind not in PLAIN_KINDS:
            raise FileError(
                f"{self.where}: attribute {name!r} has type {attribute.dtype}, expected a number or a text of fixed "
                "length"
            )
        if attribute.shape not in ((), (1,)) or attribute.dtype.itemsize > MAX_TEXT_BYTES:
            raise FileError(
                f"{self.where}: attribute {name!r} has shape {attribute.shape}, expected one number or text"
            )
        read: Any = attributes[name]
        value = np.ravel(read)[0].item()
        return self._decoded(name, value) if isinstance(value, bytes) else value

    def finish(self) -> None:
        """Complain about members that nobody has read: nothing in a file is dropped without a word."""
        if self._unread:
            raise FileError(f"{self.where}: unexpected {brief(sorted(self._unread))}")

    def _decoded(self, name: str, encoded: bytes) -> str:
        try:
            return bytes(encoded).decode()
        except UnicodeDecodeError:
            raise FileError(f"{self.where}: {name!r} is no text in UTF-8: {bytes(encoded)[:40]!r}") from None

    def _long_texts(self, name: str, dataset: Any, where: str) -> NDArray[Any]:
        """Texts without a fixed length: few enough, and none longer than it may be."""
        self._check_storage(dataset, TEXT_BYTES, where)
        size = math.prod(dataset.shape or ())
        if dataset.shape is None or size > MAX_TEXTS:
            raise FileError(f"{where} claims {size:,} texts; at most {MAX_TEXTS:,} are read")
        place = dataset.get_offset()
        if place is None:
            raise FileError(f"{self.where}: expected the texts of {name!r} in one piece")
        try:
            encoded = [self._source.raw.text(place + TEXT_BYTES * index, MAX_TEXT_BYTES) for index in range(size)]
        except FileError as error:
            raise FileError(f"{self.where}: {name!r}: {error}") from None
        self._source.take(sum(map(len, encoded)), where)
        decoded = [self._decoded(name, text) for text in encoded]
        return np.array(decoded, object).reshape(dataset.shape)

    def _check(self, dataset: Any, dtype: np.dtype[Any], where: str) -> None:
        """Whether a dataset holds numbers or texts of fixed length, and not more than may be read."""
        shape = dataset.shape
        if dtype.kind not in PLAIN_KINDS or shape is None:
            raise FileError(f"{where} has type {dtype}, expected numbers or text")
        size = math.prod(shape)
        if dtype.kind == "S" and (size > MAX_TEXTS or dtype.itemsize > MAX_TEXT_BYTES):
            raise FileError(f"{where} claims {size:,} texts of {dtype.itemsize:,} bytes")
        self._source.take(size * dtype.itemsize, where)
        self._check_storage(dataset, dtype.itemsize, where)

    def _check_storage(self, dataset: Any, itemsize: int, where: str) -> None:
        """Where and how the data lie: in this file, with known filters, in blocks that can be read."""
        created: Any = dataset.get_create_plist()
        if created.get_external_count():
            raise FileError(f"{where} refers to another file, which is not followed")
        for index in range(created.get_nfilters()):
            code = created.get_filter(index)[0]
            if code not in PLAIN_FILTERS:
                raise FileError(f"{where} has filter {code}, expected one of {sorted(PLAIN_FILTERS.values())}")
        if created.get_layout() != h5py.h5d.CHUNKED:
            return
        chunks = created.get_chunk()
        block = math.prod(chunks) * itemsize
        blocks = math.prod(-(-size // step) for size, step in zip(dataset.shape, chunks, strict=True))
        if block > self._source.limit or blocks > MAX_BLOCKS:
            raise FileError(
                f"{where} claims {blocks:,} blocks of {block:,} bytes; at most {MAX_BLOCKS:,} blocks and "
                f"{self._source.limit:,} bytes are read"
            )

    def _member(self, name: str) -> Any:
        member = self._linked(name)
        self._unread.discard(name)
        return member

    def _linked(self, name: str) -> Any:
        if name not in self._members:
            raise FileError(f"{self.where}: {name!r} is missing; there are {brief(self.names)}")
        link = self._group.id.links.get_info(name.encode())
        if link.type != h5l.TYPE_HARD:
            raise FileError(f"{self.where}: {name!r} is a link, which is not followed")
        if self._source.raw.is_virtual(link.u):
            raise FileError(f"{self.where}: dataset {name!r} refers to another file, which is not followed")
        return h5o.open(self._group.id, name.encode())


@contextmanager
def opened(path: str | os.PathLike[str]) -> Generator[Reader, None, None]:
    """A file to read; what goes wrong meanwhile is a FileError that names it, but for wrong arguments, and warnings."""
    target = Path(path)
    if not is_file(target):
        raise FileError(f"{str(target)!r}: no such file")
    try:
        with h5py.File(target, "r") as file:
            yield Reader(file, "file")
    except (InputError, ExportWarning):
        raise
    except LavaAugError as error:
        raise FileError(f"{str(target)!r}: {error}") from None
    except Exception as error:  # h5py raises nearly everything on damaged files
        raise FileError(f"{str(target)!r}: damaged, or not an HDF5 file: {error}") from error


def _alone(value: Any) -> Any:
    """What is alone in a list; anything else as it is."""
    return value[0] if is_list(value) and len(value) == 1 else value


def _kind(member: Any) -> str:
    return f"a {type(member).__name__.removesuffix('ID').lower()}"


def parameters(cls: type[Spec], group: Reader) -> dict[str, Any]:
    """Declared parameters as far as a group has them; those that must be there, and are not, are an error."""
    values: dict[str, Any] = {}
    required = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    for name, declaration in cls.declarations():
        stored_as = declaration.stored_as
        if stored_as is not None and (stored_as in group or name in required):
            values[name] = _alone(group.value(stored_as))
    return values


def made(known: Mapping[str, type[SpecType]], kind: str, group: Reader, **more: Any) -> SpecType:
    """An object of the type that a table knows by name, from a group's datasets and what else is known of it."""
    if kind not in known:
        raise FileError(f"{group.where}: unknown type {brief(kind)}; known are {sorted(known)}")
    try:
        return known[kind](**parameters(known[kind], group), **more)
    except SpecError as error:
        raise FileError(f"{group.where}: {error}") from None


def made_whole(known: Mapping[str, type[SpecType]], group: Reader) -> SpecType:
    """An object that has a group, with its type, to itself."""
    spec = made(known, group.text("type"), group)
    group.finish()
    return spec


def check_derived(group: Reader, values: Mapping[str, Any]) -> None:
    """FileError unless datasets that follow from others agree with them."""
    for name, value in values.items():
        if not np.array_equal(written := group.value(name), value):
            raise FileError(f"{group.where}: {name!r} is {brief(written)}, but should be {brief(value)}")


def check_count(number: int, what: str) -> None:
    """FileError if there are more of something than numbered groups are read."""
    if number > MAX_GROUPS:
        raise FileError(f"a file holds at most {MAX_GROUPS:,} {what}, found {number:,}")


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a dataset; texts as bytes of fixed length, as netx stores its types."""
    texts: Any = [value] if isinstance(value, str) else value
    if is_list(texts) and all(isinstance(text, str) for text in texts):
        value = np.array([text.encode() for text in texts])
    value = np.asarray(value)
    options = {"compression": "gzip"} if value.size >= COMPRESS_FROM and value.nbytes <= COMPRESS_TO else {}
    group.create_dataset(name, data=value, **options)


def stored(spec: Spec) -> Iterator[tuple[str, Any]]:
    """All parameters that are set and have a dataset: the dataset's name and the value."""
    for name, declaration in spec.declarations():
        value = getattr(spec, name)
        if declaration.stored_as is not None and value is not None:
            yield declaration.stored_as, value


def put_spec(group: h5py.Group, spec: Spec) -> None:
    """Write all parameters that are set."""
    for name, value in stored(spec):
        put(group, name, value)


def array_bytes(spec: Spec) -> int:
    """Bytes of the arrays that `put_spec` writes."""
    return sum(value.nbytes for _, value in stored(spec) if is_array(value))
