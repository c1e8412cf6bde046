"""Reads, within bounds, from a file's bytes what would make HDF5 hang if the file is damaged or hostile.

HDF5 2.0 makes room for as many bytes as a text claims to have, up to 4 GB, and never returns from a global heap with
one wrong byte. In that heap lie texts without a fixed length, and what virtual datasets are made of, which is read as
soon as one is looked at. So texts are taken from the heap here, and objects are asked here whether they are virtual
datasets, before HDF5 sees them.

Source of all offsets: HDF5 File Format Specification Version 3.0, sections III.E (global heap), IV.A (object headers),
IV.A.2.i (data layout); elements of texts are as ``H5T__vlen_disk_getlen`` in HDF5's ``src/H5Tvlen.c`` reads them.
"""

import os
import struct
from collections.abc import Iterator

import h5py

from lava_aug.core.errors import FileError

MAX_HEADER = 1 << 20
"""Largest block of an object's header that is looked at, in bytes."""

MAX_BLOCKS = 64
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
            if count > MAX_BLOCKS or size > MAX_HEADER:
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
