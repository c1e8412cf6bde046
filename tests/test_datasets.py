"""Data sets from disk, in every form that is read, and every way not to find them."""

import gzip
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fuzz import with_other_bytes
from PIL import Image

from lava_aug.core.errors import InputError
from lava_aug.examples.datasets import Images, load_images, split

pytest.importorskip("torchvision", reason="reads the data sets")

RNG = np.random.default_rng(0)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The format of MNIST's files, big-endian: type (8: uint8), number of axes, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes())


def write_mnist(root: Path, name: str, count: int = 7) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = RNG.integers(0, 256, (count, 28, 28)).astype(np.uint8), np.arange(count, dtype=np.uint8)
        write_idx(root / name / "raw" / f"{prefix}-images-idx3-ubyte", images)
        write_idx(root / name / "raw" / f"{prefix}-labels-idx1-ubyte", labels)
        written[part] = images, labels
    return written


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_mnist(tmp_path: Path, name: str, part: str) -> None:
    images, labels = write_mnist(tmp_path, name)[part]
    found = load_images(name, tmp_path, train=part == "train")
    np.testing.assert_array_equal(found.images, images[:, None])
    np.testing.assert_array_equal(found.labels, labels)
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int64)


def write_folder(folder: Path, size: tuple[int, int] = (5, 4)) -> dict[str, np.ndarray]:
    """Two classes, two and one images; PNG, so that they come back as they were."""
    written = {}
    for name in ("cat/1.png", "cat/0.png", "airplane/9.png"):
        pixels = RNG.integers(0, 256, (*size, 3)).astype(np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
        written[name] = pixels.transpose(2, 0, 1)
    return written


@pytest.mark.parametrize("below", ["", "CIFAR10"])
def test_image_folders(tmp_path: Path, below: str) -> None:
    written = write_folder(tmp_path / below / "test")
    found = load_images("CIFAR10", tmp_path)
    np.testing.assert_array_equal(found.images, [written[n] for n in ("airplane/9.png", "cat/0.png", "cat/1.png")])
    assert found.labels.tolist() == [0, 1, 1]


def test_the_original_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    pixels = RNG.integers(0, 256, (6, 3072)).astype(np.uint8)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": [3, 1, 4, 1, 5, 9]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "train_list", [])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})
    found = load_images("CIFAR10", tmp_path)
    np.testing.assert_array_equal(found.images, pixels.reshape(6, 3, 32, 32))
    assert found.labels.tolist() == [3, 1, 4, 1, 5, 9]


def test_split_takes_the_last_of_every_class() -> None:
    labels = np.array([0, 1, 0, 0, 1, 1, 0])
    learned, chosen = split(Images(np.arange(7), labels), 2)
    assert chosen.images.tolist() == [3, 4, 5, 6]
    assert learned.images.tolist() == [0, 1, 2]
    assert chosen.labels.tolist() == [0, 1, 1, 0]


def test_missing_data_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no MNIST in .*: expected the four unpacked idx files in .*raw'. To get it: "
    ):
        load_images("MNIST", tmp_path)
    with pytest.raises(InputError, match=r"no CIFAR10 in .*'test/<class>'|cifar-10-batches-py.*download=True"):
        load_images("CIFAR10", tmp_path)
    with pytest.raises(InputError, match="data set 'SVHN': expected one of MNIST, FashionMNIST, CIFAR10"):
        load_images("SVHN", tmp_path)


def test_broken_data(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(gzip.compress(b"not an idx file"))
    with pytest.raises(InputError, match=r"MNIST in .* cannot be read"):
        load_images("MNIST", tmp_path)


def idx(code: int, sizes: tuple[int, ...], data: bytes) -> bytes:
    """An idx file of any type."""
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes) + data


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "floats": ("images-idx3", idx(13, (7, 28, 28), bytes(7 * 28 * 28 * 4)), "uint8 instead of torch.float32"),
    "labels of 32 bits": ("labels-idx1", idx(12, (7,), bytes(28)), "uint8 instead of torch.int32"),
    "an unknown type": ("images-idx3", idx(99, (7, 28, 28), bytes(7 * 28 * 28)), "AssertionError"),
    "cut": ("images-idx3", idx(8, (7, 28, 28), bytes(7 * 28 * 28 - 100)), "RuntimeError"),
    "cut head": ("images-idx3", b"\0\0\x08\x03\0\0", "ValueError"),
    "empty": ("images-idx3", b"", "ValueError"),
    "more": ("images-idx3", idx(8, (7, 28, 28), bytes(7 * 28 * 28 + 1)), "RuntimeError"),
    "a claim": ("images-idx3", idx(8, (1 << 31, 1 << 31, 28), bytes(7)), "Error"),
    "two axes": ("images-idx3", idx(8, (7, 28), bytes(7 * 28)), "3 dimension"),
    "fewer labels": ("labels-idx1", idx(8, (5,), bytes(5)), "7 images, and 5 labels"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_idx_files(case: str, tmp_path: Path) -> None:
    name, data, message = BROKEN[case]
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST" / "raw" / f"t10k-{name}-ubyte").write_bytes(data)
    with pytest.raises(InputError, match=f"MNIST in .* cannot be read, get it again: .*{message}"):
        load_images("MNIST", tmp_path)


def png(width: int, height: int) -> bytes:
    """A small file that claims any size."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99))))
    chunks = ((kind + data, len(data)) for kind, data in (*parts, (b"IEND", b"")))
    body = (struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk, size in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("size", [10_000, 20_000])
def test_images_that_would_use_up_the_memory(size: int, tmp_path: Path) -> None:
    write_folder(tmp_path / "test")
    (tmp_path / "test" / "cat" / "2.png").write_bytes(png(size, size))
    with pytest.raises(InputError, match=r"2\.png': expected an image of at most 89,478,485 pixels"):
        load_images("CIFAR10", tmp_path)


def test_damaged_images_give_images_or_our_error(tmp_path: Path) -> None:
    write_folder(tmp_path / "test")
    path, kinds = tmp_path / "test" / "cat" / "1.png", set()
    for data in with_other_bytes(path.read_bytes(), [1, 3], 600):
        path.write_bytes(data)
        try:
            kinds.add(load_images("CIFAR10", tmp_path).images.shape)
        except InputError:
            kinds.add(InputError)
    assert kinds == {(3, 3, 5, 4), InputError}


def test_broken_image_folders(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="expected a folder of images for each class"):
        load_images("CIFAR10", tmp_path)
    write_folder(tmp_path / "test")
    (tmp_path / "test" / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"2\.png': cannot be read as an image"):
        load_images("CIFAR10", tmp_path)
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "test" / "cat" / "2.png")
    with pytest.raises(InputError, match=r"2\.png': expected shape \(5, 4, 3\), as the first image has"):
        load_images("CIFAR10", tmp_path)
