"""What is written can be read: whatever is no file's is refused before anything is written."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import layer, small_net

import lava_aug as la
from lava_aug.conversion import building
from lava_aug.core.errors import FileError, NetworkError, SpecError
from lava_aug.core.layers import Dense, Relay
from lava_aug.core.network import INPUT, Head, Network
from lava_aug.core.neurons import AugmentedNeuron
from lava_aug.core.spec import MAX_TEXT_BYTES, check_text
from lava_aug.netx import hdf5_bytes
from lava_aug.netx.hdf5 import Reader
from lava_aug.netx.hdf5_bytes import readable_bytes, size_on_disk


def one_layer(weight: np.ndarray, **options: Any) -> Network:
    """A readout, and nothing else."""
    return Network(
        input_shape=(weight.shape[1],),
        layers=(layer("out", INPUT, Dense(weight=weight)),),
        **{"num_steps": 2, **options},
    )


def deep(count: int) -> Network:
    """So many layers, one after the other."""
    names = [INPUT, *(f"l{index}" for index in range(count - 1))]
    relays = [layer(name, source, Relay(), AugmentedNeuron(vth=3)) for source, name in itertools.pairwise(names)]
    return Network(input_shape=(2,), layers=(*relays, layer("out", names[-1], Dense(weight=np.ones((2, 2), int)))))


# Sizes


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """As if 1 MiB were read of any file."""
    monkeypatch.setattr(hdf5_bytes, "MAX_FILE_BYTES", 1 << 20)
    return 1 << 20


@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
def test_networks_beyond_what_is_read_of_any_file_come_back(density: float, small_limit: int, tmp_path: Path) -> None:
    """Larger files may hold more, and what compresses too well for that is not compressed."""
    path, random = tmp_path / "a.net", np.random.default_rng(0)
    weight = random.integers(-128, 128, (1000, 3000)) * (random.random((1000, 3000)) < density)
    weight[0, 0] = 1
    net = one_layer(weight)
    la.save(net, path)
    assert la.load(path) == net
    assert readable_bytes(path.stat().st_size) >= 3_000_000
    with h5py.File(path) as file:
        found: Any = file["layer/1/weight"]
        assert found.compression == ("gzip" if density == 1 else None)


def test_little_is_read_of_a_small_file(small_limit: int, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    la.save(one_layer(np.ones((1, 3), np.int8)), path)
    with h5py.File(path, "r+") as file:
        del file["layer/1/weight"]
        file.create_dataset("layer/1/weight", data=np.ones((1, 3_000_000), np.int8), compression="gzip")
    with pytest.raises(FileError, match=r"'weight' claims 3,000,000 bytes; of this file at most 1,048,576 are read"):
        la.load(path)


def test_holes_do_not_count(small_limit: int, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    la.save(small_net(), path)
    small = path.stat().st_blocks * 512
    with path.open("rb+") as file:
        file.truncate(1 << 30)
    if path.stat().st_blocks * 512 > small + 4096:
        pytest.skip("the file system stores holes")
    with h5py.File(path) as file:
        assert size_on_disk(file) <= small + 4096


# Texts


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_texts_come_back_or_are_refused(tmp_path: Path, method: str, name: str, note: str) -> None:
    readout = one_layer(np.ones((2, 3), int)).readout
    try:
        net = Network(input_shape=(3,), layers=(readout.replace(name=name, note=note),), method=method)
    except SpecError:
        assert name == INPUT or any("\0" in text for text in (method, name, note))
        return
    la.save(net, tmp_path / "a.net")
    assert la.load(tmp_path / "a.net") == net


@pytest.mark.parametrize("text", ["a" * MAX_TEXT_BYTES, "é" * (MAX_TEXT_BYTES // 2), "\n", "a\nb "])
def test_the_longest_texts(text: str, tmp_path: Path) -> None:
    readout = one_layer(np.ones((2, 3), int)).readout.replace(name=text, note=text)
    net = Network(input_shape=(3,), layers=(readout,), method=text, heads=(Head(text, (2,)),))
    la.save(net, tmp_path / "a.net")
    assert la.load(tmp_path / "a.net") == net


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * (MAX_TEXT_BYTES + 1), "expected a text of at most 4,096 bytes without NUL, found 4,097 bytes: 'aaa"),
        ("é" * (MAX_TEXT_BYTES // 2 + 1), "found 4,098 bytes"),
        ("a\0", r"without NUL, found 2 bytes: 'a\\x00'"),
        ("a\0b", "without NUL"),
        ("\ud800", r"expected a text that UTF-8 can write, found '\\ud800'"),
        ("", "expected a non-empty text"),
    ],
)
def test_texts_that_no_file_can_hold(text: str, message: str) -> None:
    readout = one_layer(np.ones((2, 3), int)).readout
    for name in ("name", "note"):
        with pytest.raises(SpecError, match=rf"Layer\.{name}: .*{message}"):
            readout.replace(**{name: text})
    with pytest.raises(SpecError, match=rf"Network\.method: .*{message}"):
        one_layer(np.ones((2, 3), int), method=text)
    with pytest.raises(NetworkError, match=rf"heads: name: .*{message}"):
        one_layer(np.ones((2, 3), int), heads=(Head(text, (2,)),))


@pytest.mark.parametrize(("names", "expected"), [((), None), (("a", "b"), "a, b folded in")])
def test_notes_of_conversions(names: tuple[str, ...], expected: str | None) -> None:
    layer: Any = SimpleNamespace(folded=names)
    assert building._note(layer) == expected
    layer.folded = ["𝄞" * 40] * 500
    note: Any = building._note(layer)
    assert len(check_text(note).encode()) > 3000
    assert note.endswith("𝄞 … folded in")


# Counts


def too_many_synapses(count: int) -> Network:
    readout = one_layer(np.ones((1, 1), np.int8)).readout
    return Network(input_shape=(1,), layers=(readout.replace(connections=readout.connections * count),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: deep(5), "a file holds at most 4 layers, the input and 'flatten' included, found 6"),
        (lambda: too_many_synapses(5), "a file holds at most 4 synapses of a layer, as 'out', found 5"),
        (
            lambda: one_layer(np.ones((5, 2), int), heads=tuple(Head(str(index), (1,)) for index in range(5))),
            "a file holds at most 4 heads, found 5",
        ),
    ],
)
def test_counts(make: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lava_aug.netx.hdf5.MAX_GROUPS", 4)
    with pytest.raises(FileError, match=message):
        la.save(make(), tmp_path / "a.net")
    assert not list(tmp_path.iterdir())


def test_what_hdf5_cannot_store(tmp_path: Path) -> None:
    net = one_layer(np.ones((1, 1), int), resolution=10**30)
    with pytest.raises(FileError, match=r"cannot write .*: HDF5 cannot store it"):
        la.save(net, tmp_path / "a.net")
    assert not list(tmp_path.iterdir())


# Cost


def test_every_member_of_a_file_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lookup costs a tenth of a millisecond, and a network of 1,000 layers has 17,000 members."""
    net, path, seen = deep(30), tmp_path / "a.net", []
    la.save(net, path)
    with h5py.File(path) as file:
        members: list[str] = []
        file.visit(members.append)
    original = Reader._linked
    monkeypatch.setattr(Reader, "_linked", lambda self, name: seen.append(name) or original(self, name))
    assert la.load(path) == net
    assert len(seen) <= len(members) + len(net)  # errors need a layer's name before the rest is read
