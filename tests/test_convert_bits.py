"""Conversions that would leave weights, potentials or payloads too few bits: mended, or said."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from float_graph import images_of, lively, output_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lava_aug import ConversionWarning, Network, OverflowWarning, convert, settle, simulate
from lava_aug.conversion.rounding import _by_size
from lava_aug.core.layers import Conv, Dense
from lava_aug.core.neurons import AugmentedNeuron


def smooth(shape: tuple[int, ...], count: int = 24) -> torch.Tensor:
    """uint8 images whose large parts differ, so that averages over them do."""
    coarse = images_of((shape[0], *(min(size, 4) for size in shape[1:])), count)
    fine = nn.functional.interpolate(coarse, size=shape[1:], mode="bilinear" if len(shape) > 2 else "linear")
    return (fine * 255).round().to(torch.uint8)


def centred(found: np.ndarray, wanted: np.ndarray) -> float:
    """Correlation of what differs between images."""
    a, b = (np.reshape(values, (len(values), -1)) for values in (found, wanted))
    return float(np.corrcoef((a - a.mean(0)).ravel(), (b - b.mean(0)).ravel())[0, 1])


def averaged(convolution: nn.Module, pool: nn.Module) -> nn.Module:
    return lively(nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 4)), seed=2)


LARGE = {
    "64x64": ((1, 64, 64), {}),
    "96x96": ((1, 96, 96), {}),
    "14x14 at 1/512": ((1, 14, 14), {"resolution": 1 / 512}),
    "1,000 samples": ((1, 1000), {}),
    "12-bit payloads": ((1, 48, 48), {"message_bits": 12, "resolution": 1 / 64}),
    "scales of channels": ((1, 64, 64), {"weight_scales": "channel", "thresholds": "channel", "num_steps": 16}),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_average_leaves_the_next_layer_its_bits(case: str) -> None:
    shape, options = LARGE[case]
    parts: tuple[nn.Module, nn.Module] = (nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1))
    if len(shape) == 2:
        parts = (nn.Conv1d(1, 8, 5), nn.AdaptiveAvgPool1d(1))
    model, images = averaged(*parts), smooth(shape)
    net = convert(model, images, **options)
    wanted = output_of(model, images / 255)
    out = simulate(net, images)
    assert centred(out.logits[-1], wanted) > 0.99
    assert (out.predictions[-1] == wanted.argmax(1)).mean() > 0.9
    assert np.abs(weights(net)[0]).max() > 31
    assert sum(counts.sum() for counts in (*out.capped.values(), *out.saturated.values())) == 0
    assert (settle(net, images).v == out.v[-1]).all()


def weights(net: Network) -> list[np.ndarray]:
    """Of the readout's connections."""
    return [connection.synapse.weight for connection in net.readout.connections]  # pyright: ignore


@pytest.mark.parametrize("size", [2, 4, 24])
def test_small_averages_are_exact(size: int) -> None:
    """Sums of 4x4 elements are at most 16 times as fine as their elements; larger ones if they are much smaller."""
    model = averaged(nn.Conv2d(1, 8, 1), nn.AvgPool2d(size))
    model = nn.Sequential(*list(model)[:-1], nn.Linear(8 * (24 // size) ** 2, 4))  # pyright: ignore
    net = convert(model, smooth((1, 24, 24)))
    relay: Any = net["2"].neuron
    assert (relay.vth == 1) == (size <= 4)
    assert relay.v0 == relay.vth // 2
    quantum = net["0"].quantum * relay.vth / size**2
    assert net["2"].quantum == pytest.approx(quantum)


def classes(factor: float, outputs: tuple[int, ...] = (2,)) -> nn.Sequential:
    """Some outputs are so many times the others."""
    model = lively(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5)), seed=1)
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        for parameter in model[3].parameters():
            parameter[list(outputs)] *= factor
    return model


EIGHT = smooth((1, 8, 8), 40)


@pytest.mark.parametrize("factor", [1, 4, 30, 300])
@pytest.mark.parametrize("num_steps", [4, 32])
@pytest.mark.parametrize("weight_scales", ["layer", "channel"])
def test_every_class_keeps_its_bits(factor: float, num_steps: int, weight_scales: Any) -> None:
    model = classes(factor)
    net = convert(model, EIGHT, num_steps=num_steps, weight_scales=weight_scales)
    out, wanted = simulate(net, EIGHT), output_of(model, EIGHT / 255)
    for k in range(5):
        assert np.corrcoef(out.logits[-1][:, k], wanted[:, k])[0, 1] > 0.98
    assert (out.predictions[-1] == wanted.argmax(1)).mean() > 0.9  # in one unit
    assert net.readout.connections[0].source == "1"
    assert len(net.readout.connections) == (1 if factor < 30 else 2)
    assert net.num_synapses("3") == 160 + 32 * (len(net.readout.connections) - 1)
    assert (settle(net, EIGHT).v == out.v[-1]).all()


def test_every_head_keeps_its_bits() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.large, self.small = nn.Linear(64, 16), nn.Linear(16, 4), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            x = self.body(x.flatten(1)).relu()
            return {"large": self.large(x), "small": self.small(x) / 300}

    model = lively(Heads())
    net = convert(model, EIGHT)
    heads = simulate(net, EIGHT).heads
    with torch.no_grad():
        wanted = model(EIGHT / 255)
    assert {name: centred(heads[name][-1], wanted[name].numpy()) > 0.99 for name in heads} == {
        "large": True,
        "small": True,
    }


def test_outputs_whose_weights_vanish_are_named() -> None:
    with pytest.warns(ConversionWarning) as caught:
        convert(classes(3e5, (0, 3)), EIGHT)
    (warning,) = caught
    assert str(warning.message).startswith(
        "layer '3': outputs 1, 2, 4 have weights so much smaller than others' that they lie within +-"
    )
    assert warning.filename == __file__


@st.composite
def rows_of_any_size(draw: st.DrawFn) -> tuple[Conv | Dense, tuple[int, ...]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = 2.0 ** rng.uniform(0, draw(st.floats(0, 20)), draw(st.integers(1, 6))) * (rng.random() < 0.9)
    if draw(st.booleans()):
        return Conv(weight=rng.normal(size=(len(sizes), 2, 3, 1)) * sizes[:, None, None, None]), (2, 4, 4)
    return Dense(weight=rng.normal(size=(len(sizes), 7)) * sizes[:, None]), (7,)


@settings(deadline=None)
@given(drawn=rows_of_any_size())
def test_parts_by_size_add_up_to_the_whole(drawn: tuple[Conv | Dense, tuple[int, ...]]) -> None:
    synapse, wide = drawn
    parts = _by_size(synapse, wide, 8)
    x = np.random.default_rng(0).normal(size=(3, *wide))
    total = sum(part.accumulate(x) for part in parts)
    np.testing.assert_allclose(total, synapse.accumulate(x), rtol=1e-5, atol=1e-6)


def sinking(bias: float) -> nn.Module:
    """Its second channel has weights that are next to nothing, and is pushed far down in every step."""
    model = lively(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)))
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        model[0].weight[1] *= 1e-6
        model[0].bias[1] = bias
    return model


@pytest.mark.parametrize("resolution", [1 / 8, 1 / 64])
@pytest.mark.parametrize("num_steps", [4, 64])
def test_channels_that_are_never_active_do_not_sink_out_of_their_bits(resolution: float, num_steps: int) -> None:
    model = sinking(-20.0)
    net = convert(model, EIGHT, resolution=resolution, num_steps=num_steps, weight_scales="channel")
    out = simulate(net, EIGHT)
    assert out.saturated["0"].sum() == 0
    assert (settle(net, EIGHT).v == out.v[-1]).all()
    synapse: Any = net["0"].connections[0].synapse
    assert (np.abs(synapse.weight).max(axis=(1, 2, 3))[[0, 2]] > 63).all()
    assert centred(out.logits[-1], output_of(model, EIGHT / 255)) > 0.99


def test_weights_that_keep_few_bits_are_named() -> None:
    """The bias alone fills 24 bits."""
    model = sinking(0.0)
    with torch.no_grad():
        model[0].bias[:] = 1e4  # pyright: ignore
    with pytest.warns(ConversionWarning, match=r"^layer '0': its weights for what 'input' sends lie within \+-[0-7], "):
        convert(model, EIGHT, resolution=1 / 1024)


@pytest.mark.parametrize("weight_bits", [2, 3])
def test_few_bits_that_were_asked_for_are_not_remarked_on(weight_bits: int) -> None:
    net = convert(classes(1), EIGHT, weight_bits=weight_bits)
    assert np.abs(weights(net)[0]).max() == 2 ** (weight_bits - 1) - 1


class Gated(nn.Module):
    """Squeeze and excitation, as EfficientNet has it: the average of a whole map, two narrow layers, a product."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.silu(self.stem(x))
        gate = torch.sigmoid(self.excite(nn.functional.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.last((x * gate).mean((2, 3)))


@pytest.mark.parametrize("resolution", [1 / 256, 1 / 1024, 1 / 8192])
@pytest.mark.filterwarnings("error")
def test_finer_spikes_are_no_worse(resolution: float) -> None:
    """Sums of whole maps stay within 24 bits, and leave weights their bits, at any resolution."""
    images = smooth((3, 48, 48))
    model = lively(Gated(), seed=1)
    net = convert(model, images, resolution=resolution, num_steps=1)
    out = simulate(net, images)
    assert centred(out.logits[-1], output_of(model, images / 255)) > 0.999
    assert min(np.abs(held).max() for held in weights(net)) > 31
    notes = [layer.name for layer in net.layers if "sums of finer spikes exceed 24 bits" in (layer.note or "")]
    assert bool(notes) == (resolution < 1 / 256)


@pytest.mark.parametrize("thresholds", ["layer", "channel"])
def test_idle_channels_may_have_next_to_no_weights(thresholds: Any) -> None:
    """Batch normalisation leaves such: a bias, and weights of 1e-7, beside channels of all sizes."""
    model: Any = lively(nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4)), seed=1)
    with torch.no_grad():
        model[0].weight[0] *= 1e-7
        model[0].bias[0] = -1.0
        for part in (model[0].weight, model[0].bias):  # a small channel that matters
            part[1] *= 1e-3
        model[3].weight.view(4, 6, 36)[:, 1] *= 1e3
    images = smooth((2, 8, 8))
    net = convert(model, images, resolution=1 / 64, thresholds=thresholds)
    assert np.size(net["0"].quantum) == 6
    assert centred(simulate(net, images).logits[-1], output_of(model, images / 255)) > 0.999


def test_spikes_beyond_their_payload_are_said() -> None:
    with pytest.warns(ConversionWarning) as caught:
        net = convert(classes(1), EIGHT, message_bits=2, resolution=1 / 64, num_steps=32)
    assert any(
        "on calibration images, layer '1': spikes reach the 2-bit payload's limit 1" in str(w.message) for w in caught
    )
    assert isinstance(net["1"].neuron, AugmentedNeuron)


def test_more_steps_than_a_network_is_made_for_are_warned_about() -> None:
    """There is room for more than twice as many; then the readout is clipped, which is counted and said."""
    net = convert(classes(1), EIGHT, resolution=1 / 1024, num_steps=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simulate(net, EIGHT, 16).saturated["3"].sum() == 0
    with pytest.warns(OverflowWarning) as caught:
        out = simulate(net, EIGHT, 64)
    assert [str(warning.message) for warning in caught] == [
        "potentials clipped to 24 bits in '3': convert with num_steps=64, not 8; or use a coarser (larger) resolution "
        "or fewer time steps. Output.saturated and Output.capped count how often"
    ]
    assert caught[0].filename == __file__
    assert np.flatnonzero(out.saturated["3"].sum(1))[0] > 15
    longer = simulate(convert(classes(1), EIGHT, resolution=1 / 1024, num_steps=64), EIGHT)
    assert centred(longer.logits[-1], output_of(classes(1), EIGHT / 255)) > 0.999


def test_cut_spikes_are_warned_about() -> None:
    with pytest.warns(ConversionWarning):
        net = convert(classes(1), EIGHT, message_bits=3)
    with pytest.warns(OverflowWarning, match=r"^spikes capped to their payload in '1': use a coarser "):
        simulate(net, EIGHT)


@pytest.mark.parametrize("method", ["augmapping", "termapping", "rate"])
def test_usual_networks_are_not_remarked_on(method: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(convert(classes(1), EIGHT, method, num_steps=64), EIGHT)
