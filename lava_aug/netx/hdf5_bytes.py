"""HDF5 files as bytes: how much of them is read, what is read without HDF5, and making files that are read.

A few bytes of a file can claim any size, by a shape, by the size of a compressed block, or by the length of a text. So
everything is asked for its size first, and a file gets as many bytes of arrays altogether as `readable_bytes` says.

`RawFile` reads, within bounds, what would make HDF5 hang if the file is damaged or hostile.

HDF5 2.0 makes room for as many bytes as a text claims to have, up to 4 GB, and never returns from a global heap with
one wrong byte. In that heap lie texts without a fixed length, and what virtual datasets are made of, which is read as
soon as one is looked at. So texts are taken from the heap here, and objects are asked here whether they are virtual
datasets, before HDF5 sees them.

Source of all offsets: HDF5 File Format Specification Version 3.0, sections III.E (global heap), IV.A (object headers),
IV.A.2.i (data layout); elements of texts are as ``H5T__vlen_disk_getlen`` in HDF5's ``src/H5Tvlen.c`` reads them.

Files are made in memory, and then written: on a full disk HDF5 fails only when the file is closed, cannot close it, and
says so with an error of its own.
"""

import io
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import h5py

from lava_aug.core.errors import FileError, LavaAugError
from lava_aug.core.files import whole_file

MAX_FILE_BYTES = 3 << 26
"""Most bytes of arrays, decompressed, that any file may hold: 192 MiB; VGG-16 has 132 MiB of 8-bit weights.

What is made of them while they are checked takes up to three times as much again."""

MAX_RATIO = 4
"""How many times its own size on the disk a larger file's arrays may have; weights compress to half, or a third."""

MAX_BLOCKS = 1 << 14
"""Most blocks that an array is stored in: HDF5 keeps about 4 kB for each, whether it holds anything or not."""

MAX_HEADER = 1 << 20
"""Largest block of an object's header that is looked at, in bytes."""

MAX_HEADER_BLOCKS = 64
"""Most blocks of a header."""

CONTINUATION, LAYOUT = 0x10, 0x08
"""Types of header messages."""

VIRTUAL = 3
"""Class of the layout of virtual datasets."""


class RawFile:
    """The bytes of an open file.

    Parameters
    ----------
    file : h5py.File
        The file; its addresses and sizes must have 8 bytes, as they have unless somebody asks for something else.

    Raises
    ------
    FileError
        If they have not.
    """

    def __init__(self, file: h5py.File) -> None:
        made = file.id.get_create_plist()
        if tuple(made.get_sizes()) != (8, 8):
            raise FileError(f"expected addresses and sizes of 8 bytes, found {tuple(made.get_sizes())}")
        self._base: int = made.get_userblock()
        self._handle: int = file.id.get_vfd_handle()

    def at(self, address: int, size: int) -> bytes:
        """``size`` bytes from an address; FileError if the file is too short."""
        place = self._base + address
        content = os.pread(self._handle, size, place) if 0 <= place < 1 << 62 else b""
        if len(content) < size:
            raise FileError(f"damaged: expected {size} bytes at {address}, found {len(content)}")
        return content

    # Texts

    def text(self, place: int, longest: int) -> bytes:
        """A text without a fixed length, whose element is at a place, counted from the start of the file."""
        length, address, index = struct.unpack("<IQI", self.at(place - self._base, 16))
        if length > longest:
            raise FileError(f"a text of {length:,} bytes, expected at most {longest:,}")
        if length == 0:
            return b""
        start, size = self._heap_object(address, index)
        if size < length:
            raise FileError(f"damaged: expected {length} bytes of text, found {size}")
        return self.at(start, length)

    def _heap_object(self, address: int, wanted: int) -> tuple[int, int]:
        """Address and size of an object in a global heap collection."""
        signature, version, size = struct.unpack("<4sB3xQ", self.at(address, 16))
        if signature != b"GCOL" or version != 1:
            raise FileError(f"damaged: expected a heap at {address}")
        place, end = address + 16, address + min(size, MAX_HEADER)
        while place + 16 <= end:
            index, length = struct.unpack("<H6xQ", self.at(place, 16))
            if index == wanted and wanted:
                return place + 16, length
            if index == 0:  # what is free, and comes last
                break
            place += 16 + (length + 7) // 8 * 8
        raise FileError(f"damaged: expected object {wanted} in the heap at {address}")

    # Objects

    def is_virtual(self, address: int) -> bool:
        """Whether the object at an address is a virtual dataset."""
        for kind, data in self._messages(address):
            if kind == LAYOUT and len(data) >= 3:
                return data[1 if data[0] >= 3 else 2] == VIRTUAL
        return False

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Types and contents of the messages in an object's header, block by block."""
        blocks, head, count = [self._first_block(address)], self.at(address, 6), 0
        second = head[:4] == b"OHDR"
        ordered = second and head[5] & 0x04
        layout = "<BHB2x" if ordered else "<BHB" if second else "<HHB3x"
        while blocks:
            count += 1
            start, size = blocks.pop()
            if count > MAX_HEADER_BLOCKS or size > MAX_HEADER:
                raise FileError(f"damaged: the header of the object at {address} does not end")
            block = self.at(start, size)
            for kind, data in _split(block, layout):
                yield kind, data
                if kind == CONTINUATION and len(data) >= 16:
                    more, length = struct.unpack("<QQ", data[:16])
                    # The second version has a signature before the messages, and a checksum behind them.
                    blocks.append((more + 4, max(0, length - 8)) if second else (more, length))

    def _first_block(self, address: int) -> tuple[int, int]:
        """Where the messages of an object's header begin, and how many bytes they have."""
        head = self.at(address, 12)
        if head[:4] != b"OHDR":
            if head[0] != 1:
                raise FileError(f"damaged: expected an object at {address}")
            return address + 16, struct.unpack("<I", head[8:12])[0]
        flags = head[5]
        start = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        return start + width, int.from_bytes(self.at(start, width), "little")


def _split(block: bytes, layout: str) -> Iterator[tuple[int, bytes]]:
    """The messages of a block."""
    place, width = 0, struct.calcsize(layout)
    while place + width <= len(block):
        kind, size, _ = struct.unpack_from(layout, block, place)
        yield kind, block[place + width : place + width + size]
        place += width + size


def readable_bytes(size: int) -> int:
    """Most bytes of arrays that are read from a file of a size, so that nobody can have us take much more memory."""
    return max(MAX_FILE_BYTES, MAX_RATIO * size)


def size_on_disk(file: h5py.File) -> int:
    """Bytes that an open file takes: holes, which claim a size and take none, do not count."""
    status = os.fstat(file.id.get_vfd_handle())
    return min(status.st_size, status.st_blocks * 512 or status.st_size)  # some file systems never say how many blocks


class Source:
    """An open file, and what may still be read of it.

    Parameters
    ----------
    file : h5py.File
        The file.
    """

    def __init__(self, file: h5py.File) -> None:
        self.raw = RawFile(file)
        self.limit = self.left = readable_bytes(size_on_disk(file))

    def take(self, size: int, where: str) -> None:
        """Count a dataset; FileError if that is more than is left."""
        if size > self.left:
            raise FileError(
                f"{where} claims {size:,} bytes; of this file at most {self.limit:,} are read, and {self.left:,} "
                "of them are left"
            )
        self.left -= size


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
