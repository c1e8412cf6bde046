"""Files: what is saved is loaded, in netx's layout; and whatever is wrong with a file is named."""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from examples import EXAMPLE_SYNAPSES, name_of, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import METHODS, SKIPS, layer, networks, skip_net, small_net

from lava_aug.core.errors import FileError
from lava_aug.core.layers import Conv, Dense, Relay, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, RateNeuron, ReadoutNeuron
from lava_aug.netx.networks import load, save


def conv_net() -> Network:
    """Every kind of layer that a file can hold, a residual sum and a flattened map among them."""
    return Network(
        input_shape=(1, 6, 5),
        layers=(
            layer(
                "conv",
                INPUT,
                Conv(weight=weights(2, 1, 3, 2), padding=(1, 0)),
                AugmentedNeuron(vth=900, n_max=7, message_bits=9),
                bias=weights(2, 1, 1),
                quantum=0.125,
            ),
            layer(
                "pool", "conv", SumPool(kernel_size=(2, 2), stride=(2, 2)), AugmentedNeuron(vth=1, v0=0, signed=True)
            ),
            layer("sum", "pool", Relay(), DoubleThresholdNeuron(vth=5, vth_lo=-5)).replace(
                connections=(("pool", Relay()), ("pool", Conv(weight=weights(2, 2, 1, 1))))
            ),
            layer("fc", "sum", Dense(weight=weights(4, 12)), RateNeuron(vth=40, v0=3)),
            layer("out", "fc", Dense(weight=weights(3, 4)), bias=[1, -2, 3]),
        ),
        num_steps=9,
        method="by hand",
        resolution=0.25,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(conv_net(), tmp_path / "a.net")
    return tmp_path / "a.net"


def test_what_is_saved_is_loaded(path: Path) -> None:
    found = load(path)
    assert found == conv_net()
    assert (found.num_steps, found.method, found.resolution) == (9, "by hand", 0.25)
    assert [p.name for p in path.parent.iterdir()] == ["a.net"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(METHODS).flatmap(lambda method: networks(method)))
def test_any_network_comes_back(tmp_path: Path, net: Network) -> None:
    save(net, tmp_path / "any.net")
    assert load(tmp_path / "any.net") == net


@pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=name_of)
def test_every_synapse_comes_back(synapse: Synapse, shape: Shape, tmp_path: Path) -> None:
    is_float = bool(synapse.is_float)
    vth: Any = 5.0 if is_float else 5
    size = int(np.prod(synapse.output_shape(shape)))
    behind = Dense(weight=weights(2, size) / (2 if is_float else 1)) if is_float else Dense(weight=weights(2, size))
    net = Network(
        input_shape=shape,
        layers=(
            layer("a", INPUT, synapse, AugmentedNeuron(vth=vth)),
            layer("out", "a", behind, ReadoutNeuron(floating=is_float)),
        ),
    )
    save(net, tmp_path / "one.net")
    assert load(tmp_path / "one.net") == net


def test_the_layout_is_that_of_netx(path: Path) -> None:
    with h5py.File(path) as file:
        group: Any = file["layer"]
        assert [group[str(i)]["type"][0].decode() for i in range(len(group))] == [
            "input", "conv", "pool", "sum", "flatten", "dense", "dense",
        ]  # fmt: skip
        conv, dense = group["1"], group["5"]
        assert conv["shape"][:].tolist() == [2, 6, 4]
        assert conv["weight"].shape == (2, 1, 3, 2)
        assert (conv["inChannels"][()], conv["outChannels"][()], conv["groups"][()]) == (1, 2, 1)
        assert conv["kernelSize"][:].tolist() == [3, 2]
        assert conv["padding"][:].tolist() == [1, 0]
        assert conv["neuron/type"][0] == b"AUGIF"
        assert conv["neuron/vThMant"][()] == 900
        assert (dense["inFeatures"][()], dense["outFeatures"][()]) == (12, 4)
        assert group["4"]["shape"][:].tolist() == [12]
        simulation: Any = file["simulation"]
        assert simulation["Ts"][()] == 9


def _edit(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return edit


def _replace(name: str, value: Any) -> Callable[[Path], None]:
    def change(file: Any) -> None:
        del file[name]
        file[name] = value

    return _edit(change)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _external(file: Any) -> None:
    del file["layer/1/weight"]
    file["layer/1/weight"] = h5py.ExternalLink("other.h5", "/weight")


def _huge(file: Any) -> None:
    del file["layer/5/weight"]
    file["layer/5"].create_dataset("weight", shape=(1 << 20, 1 << 20), dtype="i1", chunks=(1024, 1024))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_cut, "damaged, or not an HDF5 file"),
    "text": (lambda path: path.write_text("not a network"), "damaged, or not an HDF5 file"),
    "missing file": (lambda path: path.unlink(), "no such file"),
    "missing weight": (_edit(lambda f: f["layer/1"].pop("weight")), "layer 'conv': 'weight' is missing; there are"),
    "missing vth": (_edit(lambda f: f["layer/1/neuron"].pop("vThMant")), "layer 'conv'/neuron: 'vThMant' is missing"),
    "missing layer": (_edit(lambda f: f["layer"].pop("3")), "expected groups numbered from 0"),
    "unknown layer": (_replace("layer/2/type", np.array([b"lstm"])), "layer 'pool': unknown type 'lstm'; known are"),
    "unknown neuron": (_replace("layer/2/neuron/type", np.array([b"CUBA"])), "unknown type 'CUBA'; known are ['AUGIF'"),
    "wrong kind": (_replace("layer/1/neuron/vThMant", 0.0), "AugmentedNeuron.vth: expected an integer from 1"),
    "text for number": (
        _replace("layer/1/groups", np.array([b"one"])),
        "Conv.groups: expected an integer of at least 1",
    ),
    "wrong weights": (_replace("layer/5/weight", np.ones((4, 9), np.int8)), "layer 'fc': Dense: expected 9 inputs"),
    "wrong shape": (_replace("layer/1/shape", [2, 6, 5]), "layer 'conv': 'shape' is array([2, 6, 5]), but should be"),
    "wrong extra": (_replace("layer/5/inFeatures", 3), "layer 'fc': 'inFeatures' is 3, but should be 12"),
    "unknown source": (_replace("layer/5/inputs", np.array([b"nobody"])), "takes spikes of 'nobody'"),
    "unexpected": (_edit(lambda f: f["layer/5"].create_dataset("delay", data=[1])), "layer 'fc': unexpected ['delay']"),
    "floats": (_replace("layer/5/weight", np.full((4, 12), 0.5)), "mixes integer and floating-point layers"),
    "NaN": (_replace("layer/5/weight", np.full((4, 12), np.nan)), "found 48 NaN or infinite ones"),
    "external link": (_edit(_external), "layer 'conv': 'weight' is a link, which is not followed"),
    "object": (
        _edit(lambda f: (f.pop("layer/5/quantum"), f.create_dataset("layer/5/quantum", (), h5py.ref_dtype))),
        "has type object, expected numbers or text",
    ),
    "long text": (_replace("layer/5/quantum", "text of any length"), "found 'text of any length'"),
    "huge": (_edit(_huge), "claims 1,099,511,627,776 bytes; of this file at most 201,326,592 are read"),
    "group": (_edit(lambda f: (f["layer/5"].pop("quantum"), f.create_group("layer/5/quantum"))), "found a group"),
    "other format": (
        _edit(lambda f: f.attrs.create("format", np.bytes_(b"nir"))),
        "'format' is 'nir', expected 'lava-aug'",
    ),
    "version": (_edit(lambda f: f.attrs.modify("format_version", 7)), "unknown format version 7"),
    "no steps": (_replace("simulation/Ts", 0), "Network.num_steps: expected an integer from 1 to 65536, found 0"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, path: Path) -> None:
    damage, message = DAMAGE[case]
    damage(path)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_delays_are_stored_and_checked(tmp_path: Path) -> None:
    net, target = skip_net(SKIPS["all"]), tmp_path / "skips.net"
    save(net, target)
    assert load(target) == net
    with h5py.File(target, "r+") as file:
        groups: Any = file["layer"]
        assert [groups[str(i)]["delay"][:].tolist() for i in range(2, 6)] == [
            [0, 1],
            [0, 1, 2],
            [0, 1, 2, 3],
            [0, 1, 2, 3, 4],
        ]
        assert "delay" not in groups["1"]
        groups["4/delay"][1] = 2
    with pytest.raises(
        FileError, match=re.escape("layer 'd': 'delay' is array([0, 2, 2, 3]), but should be (0, 1, 2, 3)")
    ):
        load(target)
    with h5py.File(target, "r+") as file:
        del file["layer/4/delay"]
    with pytest.raises(FileError, match="layer 'd': 'delay' is missing; there are"):
        load(target)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes_give_our_error_or_a_network(path: Path, flips: list[tuple[float, int]]) -> None:
    copy = path.with_name("flipped.net")
    shutil.copy(path, copy)
    data = bytearray(copy.read_bytes())
    for position, value in flips:
        data[int(position * (len(data) - 1))] ^= value
    copy.write_bytes(data)
    with contextlib.suppress(FileError):
        assert isinstance(load(copy), Network)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.net"
    save(small_net(), target)
    before = target.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("lava_aug.netx.networks._write_layer", fail)
    with pytest.raises(FileError, match=r"cannot write .*disk full"):
        save(conv_net(), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.net"]


@pytest.mark.parametrize("name", ["no/such/folder/a.net", "."])
def test_unwritable_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write"):
        save(small_net(), tmp_path / name)
