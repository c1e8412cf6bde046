"""The check against Loihi 2: every need counted by hand, every limit exceeded once, with its message."""

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import weights
from nets import layer, small_net
from test_cli import run

import lava_aug as la
from lava_aug.core.errors import InputError, NetworkError
from lava_aug.core.layers import Conv, Dense, Relay, Sparse, SumPool
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, RateNeuron, ReadoutNeuron
from lava_aug.loihi2.needs import LIMITS, NOT_PUBLIC, SOURCES
from lava_aug.loihi2.preflight import Preflight

PAGE = Path(__file__).parent.parent / "docs" / "loihi2.md"
MEMORY = 192 * 1024
ONE, NONE = np.array([1]), np.array([0])


def texts(found: Preflight, *kinds: str) -> list[str]:
    """All findings, or those of some kinds."""
    return [str(finding) for finding in found.findings if not kinds or finding.kind in kinds]


def chain(*layers: Any, input_shape: tuple[int, ...] = (4,), **options: Any) -> Network:
    return Network(input_shape=input_shape, layers=layers, **options)


def aug(vth: int = 256, **options: Any) -> AugmentedNeuron:
    return AugmentedNeuron(vth=vth, **options)


# Needs


def conv_net() -> Network:
    """A 3x3 convolution of 2 channels to 3 on 4x5 maps with a border, 2x2 sums, and a dense readout."""
    weight = weights(3, 2, 3, 3)
    weight.flat[0] = 127
    return chain(
        layer("conv", INPUT, Conv(weight=weight, padding=(1, 1)), aug(), bias=weights(3, 1, 1)),
        layer("pool", "conv", SumPool(kernel_size=(2, 2), stride=(2, 2)), aug(1, signed=True)),
        layer("out", "pool", Dense(weight=weights(7, 12))),
        input_shape=(2, 4, 5),
    )


def test_needs_by_hand() -> None:
    conv, pool, out = la.check_loihi2(conv_net()).layers
    assert (conv.neurons, conv.fan_in, conv.fan_out) == (60, 18, 1)
    # 9 windows in the middle, 6 at edges, 4 at corners: 3*4 + 2*(3 + 2)... per pair of channels
    inside = sum(min(3, y + 2, 5 - y) * min(3, x + 2, 6 - x) for y in range(4) for x in range(5))
    assert conv.synapses == inside * 2 * 3
    assert (conv.weight_bits, conv.payload_bits, conv.state_bits) == (8, 16, 24)
    assert (conv.variables, conv.state_bytes) == (("v", "n", "bias"), 12)
    assert (conv.axons_in, conv.axons_out, conv.delay) == (40, 60, 0)
    assert (conv.bytes_least, conv.bytes_most) == (60 * 12 + 54, 60 * 12 + conv.synapses)
    assert (pool.neurons, pool.fan_in, pool.fan_out, pool.synapses, pool.weight_bits) == (12, 4, 7, 48, 1)
    assert (pool.variables, pool.bytes_least, pool.bytes_most) == (("v",), 48, 48 + 6)
    assert (out.neurons, out.fan_in, out.fan_out, out.payload_bits, out.axons_out) == (7, 12, 0, 0, 0)
    assert {item.cores_least for item in (conv, pool, out)} == {item.cores_most for item in (conv, pool, out)} == {1}


def test_a_network_that_fits_has_nothing_to_say() -> None:
    found = la.check_loihi2(conv_net(), np.zeros((1, 2, 4, 5), np.uint8), 3)
    assert (found.ok, texts(found), found.cores, found.num_images, found.num_steps) == (True, [], (3, 3), 1, 3)


@pytest.mark.parametrize(
    ("neuron", "bits", "variables"),
    [
        (RateNeuron(vth=3), 1, ("v",)),
        (RateNeuron(vth=3, n_max=2), 1, ("v", "n")),
        (DoubleThresholdNeuron(vth=3), 2, ("v", "n")),
        (DoubleThresholdNeuron(vth=3, signed=True), 2, ("v",)),
        (aug(message_bits=9), 9, ("v", "n")),
        (aug(signed=True, n_max=4), 16, ("v", "n")),
    ],
)
def test_what_neurons_send_and_keep(neuron: Any, bits: int, variables: tuple[str, ...]) -> None:
    net = chain(layer("hidden", INPUT, Relay(), neuron), layer("out", "hidden", Relay()))
    hidden = la.check_loihi2(net).layers[0]
    assert (hidden.payload_bits, hidden.variables) == (bits, variables)


def test_fan_in_of_several_connections_counts_stored_zeros() -> None:
    weight = np.zeros((3, 4), int)
    weight[0, 0] = 5
    out = layer("out", "hidden", Relay(), connections=(("hidden", Dense(weight=weight)), (INPUT, Dense(weight=weight))))
    found = la.check_loihi2(chain(layer("hidden", INPUT, Relay(), aug()), out)).layers
    assert (found[1].fan_in, found[1].synapses, found[1].axons_in, found[0].fan_out) == (8, 24, 8, 3)


# Limits


def test_too_many_weight_bits() -> None:
    net = chain(layer("out", INPUT, Dense(weight=np.array([[257, 1, 2, 3]]))))
    assert not la.check_loihi2(net).ok
    assert texts(la.check_loihi2(net)) == [
        "does not fit: layer 'out': weights of 10 bits, 8 fit; convert with weight_bits=8 (--weight-bits 8)"
    ]


def capped_net(bits: int) -> Network:
    hidden = layer("hidden", INPUT, Dense(weight=np.array([[3, -2, 0, 0]])), aug(2, message_bits=bits))
    return chain(hidden, layer("out", "hidden", Relay()))


def test_a_payload_that_is_too_narrow() -> None:
    """Up to 5 * 255 = 1275 come in, and 1 is left: (1 + 1275) // 2 + 1 = 639 spikes, which 11 bits carry."""
    worst = la.check_loihi2(capped_net(4))
    assert worst.ok
    assert texts(worst) == [
        "unclear: layer 'hidden': spikes of up to 639 in the worst case, 4 bits hold 7; give images (--images), or "
        "convert with message_bits=11 (--message-bits 11)"
    ]
    seen = la.check_loihi2(capped_net(4), np.array([[200, 0, 0, 0]], np.uint8))
    assert not seen.ok
    assert texts(seen) == [
        "does not fit: layer 'hidden': spikes reach the limit 7 of 4 bits on the images; convert with message_bits=11 "
        "(--message-bits 11)"
    ]
    assert seen.findings[0].source == SOURCES["Lava GradedVec"]
    assert texts(la.check_loihi2(capped_net(4), np.array([[3, 0, 0, 0]], np.uint8))) == []
    assert texts(la.check_loihi2(capped_net(11))) == []


def test_the_widest_payload_needs_a_coarser_resolution() -> None:
    hidden = layer("hidden", INPUT, Dense(weight=np.full((1, 4), 2**15)), aug(1, message_bits=24))
    found = la.check_loihi2(chain(hidden, layer("out", "hidden", Relay())), np.full((1, 4), 255, np.uint8))
    assert "layer 'hidden': spikes reach the limit 8,388,607 of 24 bits on the images; use a coarser (larger) " in str(
        next(finding for finding in found.findings if finding.limit == "lava_payload")
    )


def test_a_potential_that_is_too_narrow() -> None:
    net = chain(layer("out", INPUT, Dense(weight=np.full((1, 4), 127))), num_steps=100)
    cure = "use fewer time steps, fewer weight bits, or a coarser (larger) resolution"
    assert texts(la.check_loihi2(net)) == [  # 100 * 4 * 127 * 255 = 12,954,000
        f"unclear: layer 'out': v needs 25 bits in the worst case, 24 fit; give images (--images), or {cure}"
    ]
    assert texts(la.check_loihi2(net, np.full((1, 4), 255, np.uint8))) == [
        f"does not fit: layer 'out': v reaches the limit 8,388,607 of 24 bits on the images; {cure}"
    ]
    assert texts(la.check_loihi2(net, np.full((1, 4), 255, np.uint8), 64)) == []


def division(vth: Any) -> list[str]:
    net = chain(layer("hidden", INPUT, Relay(), AugmentedNeuron(vth=vth)), layer("out", "hidden", Relay()))
    return texts(la.check_loihi2(net))


def test_thresholds_that_are_no_powers_of_two() -> None:
    expected = (
        "unclear: layer 'hidden': spikes are v / vth, vth up to {} is no power of two, and microcode may not divide; "
        "convert with power_of_two_vth=True (--power-of-two-vth), which makes it a shift"
    )
    assert [division(vth) for vth in (1, 2, 2**22, np.array([4, 8, 1, 2]))] == [[], [], [], []]
    assert division(300) == [expected.format("300")]
    assert division(np.array([4, 8, 6, 2])) == [expected.format("8")]


def test_ordinary_neurons_subtract_and_need_no_division() -> None:
    net = chain(layer("hidden", INPUT, Relay(), DoubleThresholdNeuron(vth=300)), layer("out", "hidden", Relay()))
    assert texts(la.check_loihi2(net)) == []


def wide_net(neurons: int, inputs: int = 1) -> Network:
    """A dense layer of 8-bit weights."""
    weight = np.full((neurons, inputs), 127)
    return chain(layer("out", INPUT, Dense(weight=weight)), input_shape=(inputs,), num_steps=1)


def test_more_neurons_than_a_core_has() -> None:
    assert texts(la.check_loihi2(wide_net(8192))) == []
    found = la.check_loihi2(wide_net(2 * 8192 + 1))
    assert (found.ok, found.cores) == (True, (3, 3))
    assert texts(found) == ["split: layer 'out': 16,385 neurons, a core has 8,192; split it over 3 cores"]
    assert found.findings[0].source == SOURCES["WikiChip"]


def test_more_memory_than_a_core_has() -> None:
    """A state of 4 bytes and one byte for each of the weights."""
    assert la.check_loihi2(wide_net(192, 1020)).layers[0].bytes_most == MEMORY
    assert texts(la.check_loihi2(wide_net(192, 1020)), "split") == []
    found = la.check_loihi2(wide_net(192, 1021))
    assert found.cores == (2, 2)
    assert texts(found, "split") == ["split: layer 'out': 196,800 bytes, a core has 196,608; split it over 2 cores"]


def test_shared_weights_make_a_range() -> None:
    weight = np.full((8, 8, 3, 3), 127)
    net = chain(layer("out", INPUT, Conv(weight=weight, padding=(1, 1))), input_shape=(8, 24, 24), num_steps=1)
    least, most = 8 * 24 * 24 * 4 + 576, 8 * 24 * 24 * 4 + 64 * (3 * 24 - 2) ** 2
    (found,) = la.check_loihi2(net).layers
    assert (found.bytes_least, found.bytes_most) == (least, most)
    assert (found.cores_least, found.cores_most) == (1, math.ceil(most / MEMORY)) == (1, 2)
    assert texts(la.check_loihi2(net), "split") == [
        "split: layer 'out': 19,008 .. 332,032 bytes, a core has 196,608; split it over 1 .. 2 cores"
    ]


def test_a_neuron_that_no_core_can_hold() -> None:
    inputs = MEMORY - 3
    found = la.check_loihi2(wide_net(1, inputs))
    assert str(found.findings[0]) == (
        "does not fit: layer 'out': one neuron with its 196,605 synapses takes 196,609 bytes, a core has 196,608; "
        "split its inputs among several layers and add up what these relay"
    )
    assert la.check_loihi2(wide_net(1, inputs - 1)).ok


def test_a_state_that_is_too_large() -> None:
    pool = layer("pool", INPUT, Relay(), MaxPoolNeuron(kernel_size=(32, 32)))
    found = la.check_loihi2(chain(pool, layer("out", "pool", Relay()), input_shape=(1, 32, 32)))
    assert (found.layers[0].fan_in, found.layers[0].neurons) == (1024, 1)
    assert not found.ok
    assert texts(found) == [
        "does not fit: layer 'pool': the state of a neuron takes 4,100 bytes, 4,096 fit; pool in several steps of "
        "smaller windows, or multiply smaller matrices",
        "unclear: layer 'pool': max pooling keeps 1,024 inputs apart, which neurons get as one sum; train with average "
        "pooling or strided convolutions",
    ]


def long_net(depth: int) -> Network:
    """So many relays in a row, around which the images skip."""
    names = [INPUT, *(f"relay{k}" for k in range(depth))]
    relays = [layer(name, source, Relay(), aug(1, signed=True)) for source, name in itertools.pairwise(names)]
    out = layer("out", names[-1], Relay(), connections=((names[-1], Relay()), (INPUT, Relay())))
    return chain(*relays, out, input_shape=(1,))


def test_delays_that_are_too_long() -> None:
    assert texts(la.check_loihi2(long_net(62))) == []
    found = la.check_loihi2(long_net(63))
    assert not found.ok
    assert texts(found) == [
        "does not fit: layer 'out': a connection is delayed by 63 time steps, a synapse by at most 62; put a signed "
        "relay (vth 1) into the shorter path"
    ]


def test_axons_beyond_those_of_the_first_loihi() -> None:
    def net(size: int) -> Network:
        entry = Sparse(weight=ONE, rows=NONE, columns=NONE, shape=(size,))
        return chain(layer("wide", INPUT, entry, aug(1)), layer("out", "wide", Dense(weight=np.ones((1, size), int))))

    assert texts(la.check_loihi2(net(4096), num_steps=1)) == []
    assert texts(la.check_loihi2(net(4097), num_steps=1)) == [
        "unclear: layer 'wide': 4,097 axons out of a core, the first Loihi had 4,096, Loihi 2's number is not public; "
        "split the layer over more cores",
        "unclear: layer 'out': 4,097 axons into a core, the first Loihi had 4,096, Loihi 2's number is not public; "
        "split the layer before it by channels",
    ]


def test_more_cores_than_a_chip_has() -> None:
    """1,048,577 neurons take 129 cores, and are more than a million."""
    entry = Sparse(weight=ONE, rows=NONE, columns=NONE, shape=(128 * 8192 + 1,))
    net = chain(layer("out", INPUT, entry))
    found = la.check_loihi2(net)
    assert (found.ok, found.cores, [finding.limit for finding in found.findings]) == (
        False,
        (129, 129),
        ["cores", "neurons", "neurons_per_core"],
    )
    assert str(found.findings[0]) == (
        "does not fit: network: 129 cores, 128 fit on one chip; use 2 chips (--chips), or a smaller network"
    )
    assert [finding.limit for finding in la.check_loihi2(net, chips=2).findings] == ["neurons_per_core"]


def test_cores_and_synapses_that_sharing_may_save() -> None:
    """64 channels to 64, 5x5, on 36x36 maps: 100 M synapses, twice."""
    conv = Conv(weight=np.full((64, 64, 5, 5), 1), padding=(2, 2))
    net = chain(layer("one", INPUT, conv, aug(2**14)), layer("out", "one", conv), input_shape=(64, 36, 36))
    found = la.check_loihi2(net, num_steps=1)
    total = 2 * 64 * 64 * (5 * 36 - 6) ** 2
    assert total == sum(item.synapses for item in found.layers) > 120e6
    of_network = [finding for finding in found.findings if finding.layer is None]
    least, most = found.cores
    assert least < 128 < most
    assert list(map(str, of_network)) == [
        f"unclear: network: {least:,} .. {most:,} cores, 128 fit on one chip; use 1 .. {math.ceil(most / 128)} chips "
        "(--chips), or a smaller network",
        f"unclear: network: 204,800 .. {total:,} synapses, 120,000,000 fit on one chip; use 1 .. 3 chips (--chips), or "
        "a smaller network",
    ]
    assert found.ok


# Errors, texts, JSON


def test_floating_point_networks_are_refused() -> None:
    net = chain(layer("out", INPUT, Dense(weight=np.ones((1, 4), np.float32)), ReadoutNeuron(floating=True)))
    with pytest.raises(NetworkError, match="the network computes in floating point"):
        la.check_loihi2(net)


@pytest.mark.parametrize("chips", [0, -1, 1.0, True, "2"])
def test_impossible_numbers_of_chips(chips: Any) -> None:
    with pytest.raises(InputError) as caught:
        la.check_loihi2(small_net(), chips=chips)
    assert str(caught.value) == f"chips: expected an integer of at least 1, found {chips!r}"


def test_the_report_shows_needs_findings_limits_and_sources() -> None:
    text = str(la.check_loihi2(capped_net(4)))
    lines = text.splitlines()
    assert lines[0] == (
        "Loihi 2: no public limit is exceeded; 2 of 128 cores (estimate), 4 time steps, no images: widths in the "
        "worst case"
    )
    row = "hidden 1 4 1 4 3 4 2 x 24 4 1 1 1"
    assert " ".join(lines[3].split()) == row
    assert (
        "unclear: give images (--images), or convert with message_bits=11 (--message-bits 11) (limit: payload" in text
    )
    assert "  layer 'hidden': spikes of up to 639 in the worst case, 4 bits hold 7" in lines
    assert "  neurons per core: 8,192 (WikiChip)" in lines
    for found in (*NOT_PUBLIC, *SOURCES.values()):
        assert found in text


def test_findings_with_one_cure_are_shown_together() -> None:
    net = chain(
        layer("a", INPUT, Relay(), aug(3)), layer("b", "a", Relay(), aug(5)), layer("out", "b", Relay()), num_steps=1
    )
    assert str(la.check_loihi2(net)).count("power_of_two_vth") == 1
    assert len(la.check_loihi2(net).findings) == 2


def test_json() -> None:
    found = la.check_loihi2(capped_net(4))
    data = json.loads(json.dumps(found.to_dict()))
    assert (data["ok"], data["cores"], data["chips"]) == (True, [2, 2], 1)
    assert data["layers"][0]["fan_in"] == 4
    assert data["findings"][0]["limit"] == "lava_payload"
    assert data["findings"][0]["source"] == SOURCES["Lava GradedVec"]
    assert data["limits"]["cores"]["value"] == 128
    assert data["not_public"] == list(NOT_PUBLIC)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    la.save(capped_net(4), "capped.net")
    np.save("bright.npy", np.array([[200, 0, 0, 0]], np.uint8))
    assert run("check", "capped.net") == 0
    assert str(la.check_loihi2(capped_net(4))) in capsys.readouterr().out
    assert run("check", "capped.net", "--images", "bright.npy", "-T", "2", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["ok"], printed["num_images"], printed["num_steps"]) == (False, 1, 2)
    assert run("check", "capped.net", "--chips", "0") == 2
    assert "chips: expected an integer of at least 1, found 0" in capsys.readouterr().err
    assert run("check", "none.net") == 2
    assert run("check", "capped.net", "--target", "loihi2") == 0
    assert str(la.check_loihi2(capped_net(4))) in capsys.readouterr().out
    assert run("check", "capped.net", "--target", "abacus") == 2
    assert "--target: expected one of loihi2, found 'abacus'" in capsys.readouterr().err


# The page


def test_the_page_has_the_limits_of_the_module() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    expected = [
        [limit.what, str(limit), "-" if limit.loihi1 is None else f"{limit.loihi1:,}", ", ".join(limit.sources)]
        for limit in LIMITS.values()
    ]
    assert rows[2:] == expected
    for name, source in SOURCES.items():
        assert re.search(rf"^- \*{re.escape(name)}\*: {re.escape(source)}$", text, re.MULTILINE), name
    for item in NOT_PUBLIC:
        assert f"- {item}\n" in text
