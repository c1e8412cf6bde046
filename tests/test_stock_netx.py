"""Files of lava-dl's: what they hold is read and shown, and what stock netx would drop or crash on is named."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fuzz import stock_network
from typer.testing import CliRunner

from lava_aug.commands.cli import app
from lava_aug.core.errors import FileError, InputError, NetworkError
from lava_aug.formats import read_network
from lava_aug.netx import foreign
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.layers import Cuba, NetxConv, NetxDense, NetxFlatten, NetxInput, SigmaDelta
from lava_aug.netx.networks import load, save
from lava_aug.netx.requantization import stock_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """0 input, 1 conv, 2 flatten, 3 dense, 4 dense without neurons."""
    stock_network(Cuba).write(tmp_path / "a.net")
    return tmp_path / "a.net"


@pytest.mark.parametrize("neuron", [Cuba, SigmaDelta])
def test_what_is_written_is_read(neuron: type, tmp_path: Path) -> None:
    net = stock_network(neuron)
    net.write(tmp_path / "a.net")
    assert foreign.load(tmp_path / "a.net") == read_network(tmp_path / "a.net") == net
    assert net.shapes == ((1, 6, 5), (2, 4, 3), (24,), (3,), (2,))
    assert (net.input_shape, net.output_shape, len(net.processing)) == ((1, 6, 5), (2,), 4)


def test_summary(path: Path) -> None:
    assert foreign.load(path).summary().split("\n") == [
        "lava-dl network, 16 time steps per sample",
        "layer  type                           neuron         shape  neurons  vth  weights",
        "---------------------------------------------------------------------------------",
        "0      input                          CUBA           1x6x5       30   10        -",
        "1      conv 3x3                       CUBA           2x4x3       24   10       18",
        "2      flatten                        -              24           -    -        -",
        "3      dense 24 -> 3, delays 0 .. 62  CUBA           3            3   10       72",
        "4      dense 3 -> 2                   CUBA, default  2            2    -        6",
        "total: 59 neurons, 96 weights",
    ]


def test_rows_may_be_written_with_ones_and_kernels_with_time(path: Path) -> None:
    """As older exports are."""
    expected = foreign.load(path)
    with h5py.File(path, "r+") as file:
        weight = np.asarray(file["layer/1/weight"], np.float32)
        _replace("layer/1/weight", weight[..., None])(file)
        _replace("layer/1/neuron/type", "LOIHI")(file)
        _replace("layer/3/weight", np.asarray(file["layer/3/weight"], np.float32).ravel())(file)
    found = foreign.load(path)
    assert found.layers[1].neuron != expected.layers[1].neuron
    assert found.layers[3] == expected.layers[3]
    np.testing.assert_array_equal(found.layers[1].weight, expected.layers[1].weight)  # pyright: ignore
    for shape, right in (((3, 1, 1), True), ((1, 1, 3), True), ((3, 2), False), ((4,), False)):
        with h5py.File(path, "r+") as file:
            _replace("layer/3/shape", shape)(file)
        if right:
            assert foreign.load(path).shapes[3] == (3,)
        else:
            with pytest.raises(FileError, match=r"layer 3 \(dense\)"):
                foreign.load(path)


def test_texts_may_be_arrays_of_one_and_have_any_length(path: Path) -> None:
    """As lava-dl writes them, and we once did."""
    expected = foreign.load(path)
    with h5py.File(path, "r+") as file:
        _replace("layer/1/neuron/type", np.array([b"CUBA"]))(file)
        _replace("layer/1/type", np.array([b"conv"]))(file)
        _replace("layer/3/neuron/type", "CUBA")(file)
    assert foreign.load(path) == expected


def test_weights_that_float32_has_not_are_written_as_integers(tmp_path: Path) -> None:
    for largest, kind in (((1 << 24) - 1, np.float32), ((1 << 24) + 1, np.int32)):
        net = stock_network(Cuba)
        conv = net.layers[1].replace(weight=np.full((2, 1, 3, 3), largest))
        net.replace(layers=(net.layers[0], conv, *net.layers[2:])).write(tmp_path / "a.net")
        found = foreign.load(tmp_path / "a.net").layers[1]
        assert found == conv
        with h5py.File(tmp_path / "a.net") as file:
            assert file["layer/1/weight"].dtype == kind  # pyright: ignore[reportAttributeAccessIssue]


def test_only_the_first_layers(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        _replace("layer/4/type", np.array([b"average"]))(file)
    with pytest.raises(FileError, match=r"layer 4 \(average\): stock netx does not run layers of this type.*=4"):
        foreign.load(path)
    assert foreign.load(path, num_layers=4).output_shape == (3,)
    with pytest.raises(InputError, match="num_layers: expected an integer of at least 1, found 0"):
        foreign.load(path, 0)


def _replace(name: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return change


def _remove(name: str) -> Callable[[Any], None]:
    return lambda file: file.pop(name)


def _at(name: str, value: float) -> Callable[[Any], None]:
    """Change one element of an array."""

    def change(file: Any) -> None:
        found = np.asarray(file[name], np.float64)
        found.flat[0] = value
        _replace(name, found)(file)

    return change


CONV, DENSE = "layer 1 (conv)", "layer 3 (dense)"
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown layer": (
        _replace("layer/1/type", np.array([b"lstm"])),
        "layer 1 (lstm): unknown type 'lstm'; known are ['conv', 'dense', 'flatten', 'input']",
    ),
    "unknown neuron": (
        _replace("layer/1/neuron/type", "RF_PHASE"),
        f"{CONV}/neuron: unknown type 'RF_PHASE'; known are ['CUBA', 'LOIHI', 'SDNN']",
    ),
    "fraction": (_at("layer/1/weight", 0.5), f"{CONV}: NetxConv.weight: expected whole numbers, found 0.5 at (0, 0"),
    "fractional bias": (_at("layer/1/bias", 0.5), f"{CONV}: NetxConv.bias: expected whole numbers, found 0.5 at (0,)"),
    "NaN": (_at("layer/3/weight", float("nan")), f"{DENSE}: NetxDense.weight: expected whole numbers, found nan"),
    "clipped weight": (_at("layer/3/weight", 255), f"{DENSE}: weight: stock netx, scaling weights from -29 to 254"),
    "large weight": (_at("layer/3/weight", 300), f"{DENSE}: weight: expected 9 bits, -256 to 255, found -29 to 300"),
    "zero weights": (_replace("layer/3/weight", np.zeros((3, 24))), f"{DENSE}: weight: all are zero, on which stock"),
    "large bias": (_at("layer/1/bias", 40_000), f"{CONV}: bias: expected -32767 to 32767, found -1 to 40000"),
    "bias shape": (_replace("layer/1/bias", [1, 2, 3]), f"{CONV}: bias: expected shape (2,), found (3,)"),
    "large delay": (_at("layer/3/delay", 63), f"{DENSE}: delay: expected 0 to 62, found 1 to 63"),
    "delay shape": (_replace("layer/3/delay", [1, 2]), f"{DENSE}: delay: expected one of the shapes"),
    "delay of conv": (_replace("layer/1/delay", [1, 0]), f"{CONV}: delay: stock netx would ignore it"),
    "missing weight": (_remove("layer/1/weight"), f"{CONV}: 'weight' is missing; there are"),
    "missing neuron": (_remove("layer/1/neuron"), f"{CONV}: 'neuron' is missing"),
    "missing threshold": (_remove("layer/1/neuron/vThMant"), f"{CONV}/neuron: 'vThMant' is missing"),
    "missing layer": (_remove("layer/1"), "expected groups numbered from 0, found ['0', '2', '3', '4']"),
    "missing input": (
        _replace("layer/0/type", np.array([b"flatten"])),
        "layer 0 (flatten): unexpected ['bias', 'neuron",
    ),
    "unexpected": (_replace("layer/1/colour", 3), f"{CONV}: unexpected ['colour']"),
    "message bits": (_replace("layer/1/neuron/messageBits", 8), f"{CONV}/neuron: stock netx crashes on 'messageBits'"),
    "graded": (_replace("layer/1/neuron/gradedSpike", True), "gradedSpike is True, but stock netx would send binary"),
    "exponent": (_replace("layer/1/neuron/wgtExp", 2), "Cuba.weight_exp: expected an integer equal to 0, found 2"),
    "large decay": (_replace("layer/1/neuron/iDecay", 4097), "Cuba.current_decay: expected an integer from 0 to 4096"),
    "large threshold": (_replace("layer/1/neuron/vThMant", 1 << 18), "Cuba.vth: expected an integer from 0 to 262143"),
    "complex": (
        lambda f: (f.pop("layer/3/weight"), f.create_group("layer/3/weight/real")),
        f"{DENSE}: complex weights",
    ),
    "features": (_replace("layer/3/inFeatures", 7), f"{DENSE}: 'inFeatures' is 7, but should be 24"),
    "channels": (_replace("layer/1/inChannels", 2), f"{CONV}: 'inChannels' is 2, but should be 1"),
    "groups": (_replace("layer/1/groups", 2), f"{CONV}: 'inChannels' is 1, but should be 2"),
    "shape": (_replace("layer/1/shape", [2, 4, 4]), "layer 1 (conv): 'shape' is (2, 4, 4), but should be (2, 4, 3)"),
    "window": (
        _replace("layer/1/dilation", [3, 3]),
        "layer 1 (conv): Conv: window (3, 3) does not fit into input (1, 6, 5)",
    ),
    "stride": (
        _replace("layer/1/stride", [128, 1]),
        f"{CONV}: expected window, stride, padding and dilation up to 127",
    ),
    "no flatten": (_replace("layer/2/type", np.array([b"input"])), "layer 2 (input): only the first layer can be"),
    "input weights": (
        _replace("layer/0/weight", [1, 2]),
        "layer 0 (input): weight: expected one number, found shape (2,)",
    ),
    "ours": (
        lambda f: f.attrs.create("format", np.bytes_(b"lava-aug")),
        "attribute 'format' is 'lava-aug'; use lava_aug.load",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_stock_netx_drops_or_crashes_on_is_named(case: str, path: Path) -> None:
    change, message = WRONG[case]
    if case == "clipped weight":
        change = _at_two("layer/3/weight", 255, -29)
        message = f"{DENSE}: weight: stock netx, scaling weights from"
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        foreign.load(path)
    assert str(path) in str(caught.value)


def _at_two(name: str, one: int, other: int) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        found = np.asarray(file[name], np.float64)
        found.flat[:2] = one, other
        _replace(name, found)(file)

    return change


SDNN_WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "activation": (_replace("layer/1/neuron/activation", "tanh"), "activation is 'tanh', but stock netx would compute"),
    "no sums": (_replace("layer/4/neuron/sigma_output", False), "sigma_output is False, but stock netx takes its"),
    "bias of sums": (_replace("layer/3/neuron/sigma_output", True), ""),
    "sums at once": (_replace("layer/0/neuron/sigma_output", True), "layer 0 (input): sigma_output is of no use"),
    "bias": (_replace("layer/1/bias", [1 << 19, 0]), "bias: expected -524287 to 524287, found 0 to 524288"),
}


@pytest.mark.parametrize("case", SDNN_WRONG)
def test_sigma_delta_that_netx_would_not_run(case: str, tmp_path: Path) -> None:
    change, message = SDNN_WRONG[case]
    path = tmp_path / "a.net"
    stock_network(SigmaDelta).write(path)
    with h5py.File(path, "r+") as file:
        change(file)
        if case == "bias of sums":
            _replace("layer/3/bias", [1, 2, 3])(file)
            message = f"{DENSE}: bias: neurons with sigma_output take none"
    with pytest.raises(FileError, match=re.escape(message)):
        foreign.load(path)


LIF = Cuba(vth=1, current_decay=0, voltage_decay=0)
ONE = NetxDense(shape=(2,), weight=np.array([[1, 2, 3], [4, 5, -6]]))
MISFITS: dict[str, tuple[tuple[Any, ...], str]] = {
    "nothing": ((NetxInput(shape=(3,)),), "expected at least one layer with neurons, found none"),
    "inputs": ((NetxInput(shape=(4,)), ONE), "layer 1 (dense): Dense: expected 3 inputs, found 4"),
    "map": ((NetxInput(shape=(1, 1, 3)), ONE), "layer 1 (dense): expected a layer 'flatten' before it"),
    "flatten at the end": ((ONE, NetxFlatten(shape=(2,))), "layer 1 (flatten): expected a dense layer behind it"),
    "two axes": (
        (NetxInput(shape=(1, 3)), NetxFlatten(shape=(3,)), ONE),
        "layer 1 (flatten): expected a map (C, H, W), found (1, 3)",
    ),
    "input behind": ((ONE, NetxInput(shape=(2,))), "layer 1 (input): only the first layer can be of type 'input'"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_layers_that_do_not_fit_each_other(case: str) -> None:
    layers, message = MISFITS[case]
    with pytest.raises(NetworkError, match=re.escape(message)):
        NetxNetwork(layers=layers)


def test_conv_needs_to_know_its_input() -> None:
    options: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "neuron": LIF}
    conv = NetxConv(shape=(1, 1, 1), weight=np.ones((1, 1, 1, 1)), **options)
    with pytest.raises(NetworkError, match="expected a layer of type 'input' before it, which says what shape"):
        NetxNetwork(layers=(conv,))


def test_the_weights_that_stock_netx_computes_with() -> None:
    """Values found with lava-dl 0.6.0 and lava-nc 0.10.0; most weights are what they are."""
    for values in ([-256, 254], [1, 255], [-3, 5, 100], [-100, -1], [0, 64]):
        np.testing.assert_array_equal(stock_weights(np.array(values)), values)
    lost = (([-255, 255], [-255, 254]), ([-128, -1], [-127, -1]), ([-256, -1], [-255, -1]), ([-64, 0], [-32, 0]))
    for values, used in lost:
        np.testing.assert_array_equal(stock_weights(np.array(values)), used)


def test_each_reader_points_to_the_other(path: Path, tmp_path: Path) -> None:
    from nets import small_net

    with pytest.raises(FileError, match="'format' is None, expected 'lava-aug'; if lava-dl wrote it, use"):
        load(path)
    save(small_net(), tmp_path / "ours.net")
    assert read_network(tmp_path / "ours.net") == small_net()
    with pytest.raises(InputError, match="num_layers: only files of lava-dl's can be read in part"):
        read_network(tmp_path / "ours.net", 3)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write"):
        stock_network(Cuba).write(tmp_path / "no" / "a.net")


def test_info_shows_files_of_both_kinds(path: Path) -> None:
    runner = CliRunner()
    found = runner.invoke(app, ["info", str(path), "--num-layers", "4"])
    assert found.exit_code == 0
    assert "total: 57 neurons" in found.output
    found = runner.invoke(app, ["info", str(path), "--plan"])
    assert isinstance(found.exception, InputError)
    assert "expected a network of lava-aug, found a lava-dl network" in str(found.exception)
