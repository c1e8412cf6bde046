"""Images: how they become input payloads, and every error by its message."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import layer, small_net

from lava_aug.core.errors import InputError
from lava_aug.core.images import payloads
from lava_aug.core.layers import Dense
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import ReadoutNeuron
from lava_aug.simulation.simulator import simulate

LEVELS = np.arange(252).reshape(42, 6).astype(np.uint8)


def floating_net() -> Network:
    """Six inputs, three outputs, in floating point."""
    readout = layer("out", INPUT, Dense(weight=np.ones((3, 6)) / 2), ReadoutNeuron(floating=True))
    return Network(input_shape=(6,), layers=(readout,))


def test_uint8_stays_as_it_is() -> None:
    for images in (LEVELS, torch.tensor(LEVELS)):
        found = payloads(small_net(), images)
        assert found.tolist() == LEVELS.tolist()
        assert found.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_level_survives_floating_point(dtype: type) -> None:
    for images in ((LEVELS / 255).astype(dtype), torch.tensor((LEVELS / 255).astype(dtype))):
        found = payloads(small_net(), images)
        assert found.tolist() == LEVELS.tolist()
        assert found.dtype == np.uint8


def test_floating_point_is_rounded_to_the_nearest_level() -> None:
    images = np.array([[0.0, 0.4 / 255, 0.6 / 255, 100.49 / 255, 254.51 / 255, 1.0]])
    assert payloads(small_net(), images).tolist() == [[0, 0, 1, 100, 255, 255]]
    assert payloads(small_net(), [[0.0, 0.25, 0.5, 0.75, 1.0, 0.125]]).tolist() == [[0, 64, 128, 191, 255, 32]]


FORMATS = [np.float16, np.float32]
"""Of which 255 times a number is exact in float64."""


@pytest.mark.parametrize("dtype", FORMATS)
@given(data=st.data())
def test_the_product_of_short_floats_is_exact(dtype: type, data: st.DataObject) -> None:
    """``round(255 * x)`` of the number itself, halves to even: what Fraction gives."""
    width: Any = 8 * np.dtype(dtype).itemsize
    values = st.floats(0, 1, width=width) | st.integers(0, 254).map(lambda k: float(dtype((k + 0.5) / 255)))
    row = np.array(data.draw(st.lists(values, min_size=6, max_size=6)), dtype)
    wanted = [round(255 * Fraction(float(x))) for x in row]
    for images in (row[None], torch.tensor(row[None]), row[None].astype(np.float64)):
        assert payloads(small_net(), images).tolist() == [wanted]


def test_the_product_is_one_of_float64() -> None:
    """Just above a half: in float32 the product would be rounded to the half, and that to the even level below."""
    x = np.float32(2.5 / 255)
    assert (np.float32(255) * x, 255 * Fraction(float(x)) > Fraction(5, 2)) == (2.5, True)
    for images in (np.full((1, 6), x), torch.full((1, 6), float(x))):
        assert payloads(small_net(), images).tolist() == [[3] * 6]


def test_gradients_are_no_obstacle() -> None:
    images = torch.full((1, 6), 0.2, requires_grad=True)
    assert payloads(small_net(), images).tolist() == [[51] * 6]


def test_floating_point_networks_get_unrounded_intensities() -> None:
    found = payloads(floating_net(), np.array([[0.0, 0.1, 0.25, 0.5, 0.75, 1.0]]))
    assert found.dtype == np.float32
    assert found[0, [0, 2, 3, 4, 5]].tolist() == [0.0, 63.75, 127.5, 191.25, 255.0]
    assert payloads(floating_net(), LEVELS).tolist() == LEVELS.tolist()


def test_simulate_takes_all_of_them() -> None:
    expected = simulate(small_net(), LEVELS, 2)
    for images in (LEVELS / 255, torch.tensor(LEVELS), (LEVELS / 255).tolist()):
        assert simulate(small_net(), images, 2).differences(expected) == []
    floating = simulate(floating_net(), np.full((1, 6), 0.25), 2)
    assert floating.v.tolist() == [[[191.25] * 3], [[382.5] * 3]]


TYPES = "images: expected uint8 or floating point in [0, 1], found"
HINT = (
    "divide by the largest intensity; for a model of normalised images pass raw ones, and use "
    "convert(normalize=(mean, std))"
)


@pytest.mark.parametrize("net", [small_net(), floating_net()], ids=["integer", "floating"])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 5), np.uint8), "images: expected shape (B, 6), found (2, 5)"),
        (
            np.zeros(6, np.uint8),
            "images: expected shape (B, 6), found (6,); a single image is a batch of one: images[None]",
        ),
        (np.zeros((2, 1, 6), np.uint8), "images: expected shape (B, 6), found (2, 1, 6)"),
        (np.uint8(3), "images: expected shape (B, 6), found ()"),
        (np.zeros((0, 6), np.uint8), "images: expected at least one image, found none"),
        (np.zeros((2, 6), np.int32), f"{TYPES} int32"),
        (np.zeros((2, 6), np.int8), f"{TYPES} int8"),
        (np.zeros((2, 6), bool), f"{TYPES} bool"),
        ([["a"] * 6], f"{TYPES} <U1"),
        (
            np.array([[0, 1, 2.5, 0, 0, 0]]),
            f"images: floating-point images must be in [0, 1], found 0 to 2.5; {HINT}",
        ),
        (
            np.array([[0, 1, -0.5, 0, 0, 0]], np.float32),
            f"images: floating-point images must be in [0, 1], found -0.5 to 1; {HINT}",
        ),
        (np.array([[np.nan] * 6]), "images: found NaN or infinite values; images must be finite"),
        (np.array([[0, np.inf, 0, 0, 0, 0]]), "images: found NaN or infinite values; images must be finite"),
    ],
)
def test_impossible_images(net: Network, images: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        payloads(net, images)
    assert str(caught.value) == message
    with pytest.raises(InputError):
        simulate(net, images)


@pytest.mark.parametrize(
    ("shape", "cure"),
    [
        ((2, 5, 4, 3), "; channels come first: images.transpose(0, 3, 1, 2)"),
        ((2, 5, 4), "; the channel axis is missing: images[:, None]"),
        ((3, 5, 4), "; a single image is a batch of one: images[None]"),
        ((2, 3, 4, 5), ""),
    ],
)
def test_shapes_that_many_have(shape: tuple[int, ...], cure: str) -> None:
    readout = layer("out", INPUT, Dense(weight=np.ones((2, 60), np.int8)))
    net = Network(input_shape=(3, 5, 4), layers=(readout,))
    with pytest.raises(InputError) as caught:
        simulate(net, np.zeros(shape, np.uint8))
    assert str(caught.value) == f"images: expected shape (B, 3, 5, 4), found {shape}{cure}"


def test_ragged_images() -> None:
    with pytest.raises(InputError, match=r"^images: expected an array or tensor: "):
        payloads(small_net(), [[1, 2], [3]])
