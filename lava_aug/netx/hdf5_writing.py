"""Writing HDF5 files of networks atomically, and such that `lava_aug.netx.hdf5` can read them.

A file is made in memory, and then written: on a full disk HDF5 fails only when the file is closed, cannot close it, and
says so with an error of its own.
"""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

from lava_aug.core.errors import FileError, LavaAugError
from lava_aug.core.files import whole_file
from lava_aug.core.fixed_point import is_array
from lava_aug.core.spec import Spec
from lava_aug.netx.hdf5 import MAX_BLOCKS, MAX_GROUPS, readable_bytes

COMPRESS_FROM = 1 << 10
"""Arrays of at least so many elements are compressed,"""

COMPRESS_TO = 1 << 28
"""and of at most so many bytes: h5py cuts larger ones into more blocks than are read."""


def write_whole(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file whole, or not at all; an existing one is replaced once the new one is complete.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_bytes(encoded(fill))


def encoded(fill: Callable[[h5py.File], None], claimed: int | None = None) -> bytes:
    """A file as bytes: equal if `fill` does the same.

    Parameters
    ----------
    fill : callable
        Fills an empty file.
    claimed : int, optional
        Bytes of its arrays, where that is known; otherwise they are counted.

    Raises
    ------
    FileError
        If HDF5 cannot store it.
    """

    def write(buffer: io.BytesIO) -> None:
        with h5py.File(buffer, "w") as file:
            fill(file)

    return encoded_by(write, claimed)


def encoded_by(write: Callable[[Any], None], claimed: int | None = None) -> bytes:
    """A file as bytes, from what writes all of it into an `io.BytesIO`; otherwise as `encoded`."""
    buffer = io.BytesIO()
    try:
        write(buffer)
    except LavaAugError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:  # numbers beyond 64 bits, more axes than HDF5 has
        raise FileError(f"HDF5 cannot store it: {error}") from error
    data = buffer.getvalue()
    return data if claimed is not None and claimed <= readable_bytes(len(data)) else _readable(data)


def _readable(data: bytes) -> bytes:
    """A file as it is, or as one that is read: without compression, if that makes it claim more than it may."""
    with h5py.File(io.BytesIO(data), "r") as file:
        datasets: list[h5py.Dataset] = []
        file.visititems(lambda name, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        blocks = max((item.id.get_num_chunks() for item in datasets if item.chunks), default=0)
        if sum(item.nbytes for item in datasets) <= readable_bytes(len(data)) and blocks <= MAX_BLOCKS:
            return data
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as plain:
            plain.attrs.update(file.attrs)
            for item in datasets:
                plain.create_dataset(str(item.name), data=item[()], dtype=item.dtype)
    return buffer.getvalue()


def check_count(number: int, what: str) -> None:
    """FileError if there are more of something than numbered groups are read."""
    if number > MAX_GROUPS:
        raise FileError(f"a file holds at most {MAX_GROUPS:,} {what}, found {number:,}")


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a dataset; texts as bytes of fixed length, as netx stores its types."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
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
