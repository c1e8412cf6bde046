"""Readers of files that nobody vouches for: an object or our error, whatever the file, in a bounded number of calls."""

import contextlib
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzz
import h5py
import numpy as np
import pytest

from lava_aug.core.errors import FileError
from lava_aug.core.layers import ConvTranspose, Dense, Sparse
from lava_aug.core.network import INPUT, Network
from lava_aug.core.spec import every, offending
from lava_aug.core.synapse import absolute_sum
from lava_aug.core.texts import brief
from lava_aug.netx import foreign
from lava_aug.netx.hdf5 import MAX_TEXTS, Reader
from lava_aug.netx.hdf5_bytes import MAX_BLOCKS, MAX_FILE_BYTES, RawFile
from lava_aug.netx.layers import Cuba
from lava_aug.netx.networks import load

SEEDS = 120
"""Files in this test; `benchmarks/fuzz_files.py` has them by the thousand, and measures memory."""

MOST_CALLS = 400_000
"""Of functions, for one file; the most that one took were 40,000."""


@contextlib.contextmanager
def counted_calls() -> Iterator[list[int]]:
    """How often functions are called and return, in C too: as good as time, and the same on every machine."""
    found, before = [0], sys.getprofile()

    def note(frame: Any, event: str, argument: Any) -> None:
        found[0] += 1

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fuzz.valid_files(tmp_path_factory.mktemp("valid"))


def test_the_files_that_damage_starts_from_are_valid(valid: list[Path]) -> None:
    read = {path.name: [r for r in fuzz.READERS if fuzz.attempt(r, path).kind == "read"] for path in valid}
    expected = {"CUBA.net": "netx-sdnn", "SDNN.net": "netx-sdnn", "ours.net": "lava-aug", "skips.net": "lava-aug"}
    expected |= {"foreign.nir": "nir", "ours.nir": "nir"}
    assert read == {name: [found, "any"] for name, found in expected.items()}


def test_damaged_files_give_our_error_or_an_object(valid: list[Path], tmp_path: Path) -> None:
    kinds: set[str] = set()
    for seed in range(SEEDS):
        text = fuzz.damaged(seed, valid, tmp_path / "damaged.net")
        for reader in fuzz.READERS:
            with counted_calls() as calls:
                found = fuzz.attempt(reader, tmp_path / "damaged.net")
            assert not found.foreign, f"seed {seed}, {reader}, {text}: {found.foreign}"
            assert 0 < calls[0] < MOST_CALLS, f"seed {seed}, {reader}, {text}"
            kinds.add(found.kind)
    assert kinds == {"read", "damaged", "FileError"}


@pytest.mark.parametrize("name", fuzz.DAMAGE)
def test_every_kind_of_damage_does_something(name: str, valid: list[Path], tmp_path: Path) -> None:
    """A generator whose damage never takes effect would prove nothing."""
    outcomes = set()
    ours = next(path for path in valid if path.name == "ours.net")
    for seed in range(20):
        target = tmp_path / f"{seed}.net"
        target.write_bytes(ours.read_bytes())
        with h5py.File(target, "r+") as file:
            try:
                fuzz.DAMAGE[name](file, random.Random(seed))
            except (KeyError, ValueError, TypeError, OSError, RuntimeError):
                continue
        outcomes.add(fuzz.attempt("lava-aug", target).kind)
        if outcomes - {"read"}:
            return
    pytest.fail(f"{name}: every file was read")


# What was found, one by one


def weight(**options: Any) -> Callable[[Any], Any]:
    """Another dataset in place of the readout's weights."""

    def change(file: Any) -> None:
        del file["layer/6/weight"]
        file["layer/6"].create_dataset("weight", **options)

    return change


def external(file: Any) -> None:
    weight(shape=(4,), dtype="i1", external=[("/etc/hostname", 0, 4)])(file)


def filtered(file: Any) -> None:
    weight(shape=(3, 4), dtype="i4", compression="lzf")(file)


def inputs(file: Any) -> None:
    del file["layer/6/inputs"]
    file["layer/6/inputs"] = np.array([b"a"] * (MAX_TEXTS + 1))


def attribute(value: Any) -> Callable[[Any], None]:
    return lambda file: file.attrs.create("method", value)


FOUND: dict[str, tuple[Callable[[Any], Any], str]] = {
    "many small blocks": (
        weight(shape=(MAX_BLOCKS * 8 + 1,), dtype="i1", chunks=(8,)),
        "layer 'out': dataset 'weight' claims 16,385 blocks of 8 bytes; at most 16,384 blocks and",
    ),
    "one large block": (
        weight(shape=(4,), maxshape=(None,), dtype="i1", chunks=(1 << 28,)),
        "claims 1 blocks of 268,435,456 bytes",
    ),
    "much in all": (
        lambda file: (weight(shape=(MAX_FILE_BYTES,), dtype="i1")(file), None),
        f"claims {MAX_FILE_BYTES:,} bytes; of this file at most {MAX_FILE_BYTES:,} are read, and",
    ),
    "product of a shape that wraps": (
        weight(shape=(1 << 32, 1 << 32), dtype="i1", chunks=(1 << 10, 1 << 10)),
        "claims 18,446,744,073,709,551,616 bytes",
    ),
    "another file": (external, "dataset 'weight' refers to another file, which is not followed"),
    "filter": (filtered, "has filter 32000, expected one of ['fletcher32', 'gzip', 'shuffle']"),
    "many texts": (inputs, "dataset 'inputs' claims 4,097 texts of 1 bytes"),
    "bytes for text": (
        lambda file: (file["layer/6"].pop("name"), file["layer/6"].create_dataset("name", data=b"\xff\xfe")),
        "'name' is no text in UTF-8: b'\\xff\\xfe'",
    ),
    "array for an attribute": (
        attribute(np.zeros(9)),
        "attribute 'method' has shape (9,), expected one number or text",
    ),
    "reference for an attribute": (
        lambda file: file.attrs.create("method", file.ref, dtype=h5py.ref_dtype),
        "attribute 'method' has type object, expected a number or a text of fixed length",
    ),
    "text of any length for an attribute": (
        attribute("a"),
        "attribute 'method' has type object, expected a number or a text of fixed length",
    ),
    "long message": (
        lambda file: (file["layer/6"].pop("name"), file["layer/6"].create_dataset("name", data=np.ones((2,) * 20))),
        "expected 'name' to be a text, found float64 of shape (2, 2, 2, 2, 2, 2",
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_is_named(case: str, valid: list[Path], tmp_path: Path) -> None:
    change, message = FOUND[case]
    path = tmp_path / "a.net"
    path.write_bytes(next(p for p in valid if p.name == "ours.net").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        load(path)
    assert len(str(caught.value)) < 700


def test_a_text_that_claims_to_be_long(valid: list[Path], tmp_path: Path) -> None:
    """HDF5 would fill 4 GB before it looks."""
    path = tmp_path / "a.net"
    path.write_bytes(next(p for p in valid if p.name == "CUBA.net").read_bytes())
    with h5py.File(path) as file:
        dataset: Any = file["layer/1/neuron/type"]
        offset = dataset.id.get_offset()
    data = bytearray(path.read_bytes())
    assert data[offset : offset + 4] == b"\4\0\0\0"  # CUBA
    data[offset : offset + 4] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"neuron: 'type': a text of 4,294,967,295 bytes, expected at most 4,096"):
        foreign.load(path)
    with h5py.File(path, "r+") as file:
        del file["layer/1/neuron/type"]
        file.create_dataset("layer/1/neuron/type", shape=(), dtype=h5py.string_dtype())
    with pytest.raises(FileError, match="expected the texts of 'type' in one piece"):
        foreign.load(path)


def damage_heap(path: Path) -> None:
    """Make the free space at the end of the global heap smaller than it is; HDF5 2.0 then reads zeros for ever."""
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL") + 16
    while data[place : place + 2] != b"\0\0":
        place += 16 + (int.from_bytes(data[place + 8 : place + 16], "little") + 7) // 8 * 8
    free = int.from_bytes(data[place + 8 : place + 16], "little")
    data[place + 8 : place + 16] = (free - 144).to_bytes(8, "little")
    path.write_bytes(data)


def test_a_heap_that_hdf5_does_not_return_from(valid: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_bytes(next(p for p in valid if p.name == "CUBA.net").read_bytes())
    damage_heap(path)
    assert foreign.load(path) == fuzz.stock_network(Cuba)  # the texts before the free space are whole
    with h5py.File(path, "r+") as file:
        weight_in(file)
    damage_heap(path)
    with pytest.raises(FileError, match=r"layer 1 \(conv\): dataset 'weight' refers to another file"):
        foreign.load(path)


def weight_in(file: Any) -> None:
    """A virtual dataset for the weights of the second layer, and no text that has HDF5 read the heap."""
    for name in [name for name in fuzz.members(file) if name.endswith("neuron/type")]:
        del file[name]
        file[name] = np.array([b"CUBA"])
    layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
    layout[:] = h5py.VirtualSource("other.net", "weight", shape=(4,))
    del file["layer/1/weight"]
    file["layer/1"].create_virtual_dataset("weight", layout)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("track_order", [False, True])
def test_objects_are_told_apart_in_every_version_of_the_format(libver: str, track_order: bool, tmp_path: Path) -> None:
    """With attributes enough for several blocks of headers, and an offset of all addresses."""
    options: dict[str, Any] = {"libver": libver, "track_order": track_order, "userblock_size": 512}
    with h5py.File(tmp_path / "a.h5", "w", **options) as file:
        file["text"], file["empty"] = "of any length", ""
        file["group/rows"] = np.arange(5)
        layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
        layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("blocks", data=np.arange(5000), chunks=(100,), compression="gzip")
        for name in file:
            for index in range(7 if libver == "latest" else 30):
                file[name].attrs[f"a{index}"] = np.zeros(40)
    with h5py.File(tmp_path / "a.h5") as file:
        raw, reader = RawFile(file), Reader(file, "file")
        names = [str(name) for name in file]
        found = {name for name in names if raw.is_virtual(file.id.links.get_info(name.encode()).u)}
        assert found == {"virtual"}
        assert (reader.text("text"), reader.text("empty")) == ("of any length", "")
        with pytest.raises(FileError, match=r"damaged: expected 16 bytes at 1099511627776, found 0"):
            raw.at(1 << 40, 16)


def test_bounds_on_weights_take_no_memory_for_places_that_are_empty() -> None:
    weight, rows, columns = np.array([[3, -4, 5], [0, 0, (1 << 40) - 1], [0, 1, 2]])
    assert Sparse(weight=weight, rows=rows, columns=columns, shape=(1 << 40,)).weight_sum == 7


def test_sums_of_weights() -> None:
    """-128 has no counterpart in its own type."""
    weights = np.array([[-128, 127], [-128, -128]], np.int8)
    np.testing.assert_array_equal(absolute_sum(weights, axis=1), [255, 256])
    assert (Dense(weight=weights).weight_sum, Dense(weight=weights).largest_weight) == (256, 128)
    kernel = np.random.default_rng(0).integers(-128, 128, (6, 2, 3, 3))
    layer = ConvTranspose(weight=kernel, groups=2, stride=(2, 1))
    taken = np.abs(kernel.reshape(2, 3, 2, 3, 3)).sum(1)
    by_phase = [taken[:, :, phase::2].sum((2, 3)).max() for phase in (0, 1)]
    assert layer.weight_sum == max(by_phase)


def test_a_network_has_room_for_its_neurons() -> None:
    with pytest.raises(Exception, match="input: expected at most 33,554,432 values, found 34,359,738,368"):
        Network(input_shape=(1 << 35,), layers=(fuzz.layer("a", INPUT, Dense(weight=np.ones((1, 1), int))),))


def test_checks_of_arrays_look_at_all_elements_at_once() -> None:
    values = np.arange(12).reshape(3, 4)
    assert every(lambda v: v < 12, values)
    assert not every(lambda v: v < 11, values)
    assert offending(lambda v: v < 6, values) == "6 at (1, 2)"
    assert offending(lambda v: v < 6, 7) == "7"


def test_values_in_messages() -> None:
    assert brief([1, 2]) == "[1, 2]"
    assert brief(np.arange(17)) == "int64 of shape (17,)"
    assert len(brief("x" * 10_000)) < 130
    assert len(brief([["x" * 10_000]])) < 130
