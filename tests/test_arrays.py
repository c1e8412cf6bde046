"""Arrays and weights of others: read, or an error that says what is wrong; never a traceback, never executed."""

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz import with_other_bytes
from torch import nn

from lava_aug.commands.inputs import read_images, read_model
from lava_aug.core.errors import InputError
from lava_aug.core.files import ANY_SIZE, has_array, read_array

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4)
LABELS = np.array([3, 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", IMAGES)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    np.savez_compressed(tmp_path / "b.npz", images=np.asfortranarray(IMAGES))
    return tmp_path


def test_arrays_are_read(folder: Path) -> None:
    for name in ("a.npy", "a.npz", "b.npz"):
        found = read_array(folder / name, "images")
        np.testing.assert_array_equal(found, IMAGES)
        assert found.dtype == np.uint8
    assert [has_array(folder / name, "labels") for name in ("a.npy", "a.npz", "b.npz")] == [False, True, False]
    images, labels = read_images(str(folder / "a.npz"))
    assert (images.tolist(), labels.tolist()) == (IMAGES.tolist(), LABELS.tolist())  # pyright: ignore
    assert read_images(str(folder / "b.npz"))[1] is None
    np.save(folder / "labels.npy", LABELS[::-1])
    assert read_images(str(folder / "a.npz"), folder / "labels.npy")[1].tolist() == [1, 3]  # pyright: ignore


@pytest.mark.parametrize("dtype", ["?", "i1", ">i4", "f2", "f8", "S3", "U3"])
def test_plain_kinds_come_back(dtype: str, tmp_path: Path) -> None:
    values = np.ones((2, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    found = read_array(tmp_path / "a.npy", "")
    assert (found.dtype, found.tolist()) == (values.dtype, values.tolist())


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A file with any header."""
    text = header.encode("latin1")
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def header(shape: object, dtype: str = "|u1") -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n"


def bad_checksum(folder: Path) -> bytes:
    data = bytearray((folder / "a.npz").read_bytes())
    data[data.index(IMAGES.tobytes()) + 3] ^= 1
    return bytes(data)


def encrypted(folder: Path) -> bytes:
    """The flag alone: zipfile cannot encrypt."""
    data = bytearray((folder / "a.npz").read_bytes())
    for match in re.finditer(rb"PK\x01\x02|PK\x03\x04", bytes(data)):
        data[match.start() + (8 if match[0] == b"PK\x01\x02" else 6)] |= 1
    return bytes(data)


def bomb(folder: Path) -> bytes:
    """Very many zeros, which compress to a thousandth."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        file.write(npy(header((ANY_SIZE + 1,))))
        for _ in range(ANY_SIZE // (1 << 24)):
            file.write(bytes(1 << 24))
        file.write(bytes(1))
    return buffer.getvalue()


def archive_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images.npy", content)
    return buffer.getvalue()


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


OBJECTS = np.array([{"a": 1}, None], object)
FIELDS = np.zeros(2, [("a", "i4"), ("b", "f4")])

BAD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "nothing": (lambda _: b"", "cannot be read as .npy or .npz: it is neither, or damaged: File is not a zip file"),
    "text": (lambda _: b"no archive", "it is neither, or damaged"),
    "pickle": (lambda _: b"\x80\x04N.", "it is neither, or damaged"),
    "cut": (lambda folder: (folder / "a.npz").read_bytes()[:-9], "it is neither, or damaged"),
    "bad checksum": (bad_checksum, "it is neither, or damaged: Bad CRC-32 for file 'images.npy'"),
    "encrypted": (encrypted, "array 'images' is encrypted; write it without a password"),
    "bomb": (bomb, "array 'images' claims 268,435,533 bytes, of which"),
    "nothing of that name": (lambda _: archive_of(b"").replace(b"images", b"imagos"), "found ['imagos']"),
    "empty member": (lambda _: archive_of(b""), "cannot be read as .npy or .npz: EOF"),
    "20 GiB": (
        lambda _: npy(header((20 << 30,)), bytes(10)),
        "its header claims 21,474,836,480 bytes, shape (21474836480,) of uint8; it has 10",
    ),
    "20 GiB in an archive": (
        lambda _: archive_of(npy(header((20 << 30,)), bytes(10))),
        "array 'images': its header claims 21,474,836,480 bytes, shape (21474836480,) of uint8; it has 10",
    ),
    "a byte less": (lambda folder: (folder / "a.npy").read_bytes()[:-1], "claims 24 bytes, shape (2, 1, 3, 4)"),
    "a byte more": (lambda folder: (folder / "a.npy").read_bytes() + b"x", "it has 25"),
    "negative": (lambda _: npy(header((-1,)), b""), "its header claims the shape (-1,)"),
    "objects": (lambda _: saved(OBJECTS), "expected numbers, found objects of Python, which are not read"),
    "objects in an archive": (
        lambda _: archive_of(saved(OBJECTS)),
        "array 'images': expected numbers, found objects of Python, which are not read",
    ),
    "fields": (lambda _: saved(FIELDS), "expected numbers, found [('a', '<i4'), ('b', '<f4')]"),
    "complex": (lambda _: saved(np.ones(2, complex)), "expected numbers, found complex128"),
    "no header": (lambda _: npy("{'descr'"), "its header cannot be read"),
    "a header that computes": (lambda _: npy("__import__('os').getcwd()"), "its header cannot be read"),
    "a deep header": (lambda _: npy("(" * 5000), "its header cannot be read"),
    "a long header": (lambda _: npy(header((1,)) + " " * 20_000), "its header cannot be read: Header info length"),
    "half a header": (lambda _: b"\x93NUMPY\1\0\xff", "its header cannot be read: EOF"),
    "version": (lambda _: npy(header((0,)), b"", (9, 0)), "expected version 1.0 or 2.0 of .npy, found 9.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(case: str, folder: Path) -> None:
    make, message = BAD[case]
    (folder / "x").write_bytes(make(folder))
    tracemalloc.start()
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_images(str(folder / "x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert repr(str(folder / "x")) in str(caught.value)
    assert "allow_pickle" not in str(caught.value)
    assert peak < 20_000_000


def test_files_that_are_not_there(folder: Path) -> None:
    with pytest.raises(InputError, match=r"none\.npy': cannot be read as \.npy or \.npz: No such file or directory"):
        read_images(str(folder / "none.npy"))
    with pytest.raises(InputError, match="Is a directory"):
        read_images(str(folder))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "b.npz"])
def test_damaged_files_give_arrays_or_our_error(name: str, folder: Path) -> None:
    kinds = set()
    for data in with_other_bytes((folder / name).read_bytes(), [1, 2, 10], 400, cut=True):
        (folder / "x").write_bytes(data)
        try:
            found, _ = read_images(str(folder / "x"))
            kinds.add(type(found))
        except InputError as error:
            kinds.add(type(error))
    assert kinds == {np.ndarray, InputError}


# Weights


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch.nn, "Small", lambda: nn.Linear(3, 2), raising=False)
    return "torch.nn:Small"


def weights_of(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


class Attack:
    """Would be executed."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("attacked"),)


BAD_WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "damaged, or not written by torch.save: EOFError"),
    "text": (
        lambda: b"weights",
        "which is not loaded, as it could execute code",
    ),
    "an attack": (lambda: weights_of({"a": Attack()}), "holds more than tensors, which is not loaded"),
    "a model": (lambda: weights_of(nn.Linear(3, 2)), "write a state_dict: torch.save(model.state_dict(), path)"),
    "a number": (lambda: weights_of(3), "expected a state_dict, which maps names to tensors, found ['int']"),
    "a tensor": (lambda: weights_of(torch.zeros(3)), "found ['Tensor']"),
    "a checkpoint": (lambda: weights_of({"model": {}, "epoch": 3}), "found ['dict', 'int']"),
    "another model's": (
        lambda: weights_of(nn.Linear(4, 2).state_dict()),
        "do not fit this model: Error(s)",
    ),
    "other names": (lambda: weights_of({"x": torch.zeros(2)}), "do not fit this model"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_wrong_weights_are_named(case: str, model: str, tmp_path: Path) -> None:
    make, message = BAD_WEIGHTS[case]
    (tmp_path / "w.pt").write_bytes(make())
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_model(model, tmp_path / "w.pt")
    assert f"weights {str(tmp_path / 'w.pt')!r}" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not Path("attacked").exists()


def test_weights_are_read(model: str, tmp_path: Path) -> None:
    expected = nn.Linear(3, 2)
    (tmp_path / "w.pt").write_bytes(weights_of(expected.state_dict()))
    assert torch.equal(read_model(model, tmp_path / "w.pt").weight, expected.weight)
    with pytest.raises(InputError, match="No such file or directory"):
        read_model(model, tmp_path / "none.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_weights_give_weights_or_our_error(zipped: bool, model: str, tmp_path: Path) -> None:
    whole = weights_of(nn.Linear(3, 2).state_dict(), _use_new_zipfile_serialization=zipped)
    errors, path = [], tmp_path / "w.pt"
    for data in with_other_bytes(whole, [1, 3], 300):
        path.write_bytes(data)
        try:
            assert isinstance(read_model(model, path), nn.Linear)
        except InputError as error:
            errors.append(str(error))
    assert 50 < len(errors) < 300
    assert not any("weights_only" in text for text in errors)
