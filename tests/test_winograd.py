"""Winograd's convolutions: equal to `accumulate` up to the very payload that they promise, and chosen up to there."""

import numpy as np
import pytest
from examples import weights
from hypothesis import given, settings
from hypothesis import strategies as st

from lava_aug.core.layers import Conv
from lava_aug.kernels import samples
from lava_aug.kernels.samples import SampleKernel
from lava_aug.kernels.winograd import (
    largest_payload,
    merge_products,
    suits,
    tiled_convolution,
    transform_tiles,
    warm_up,
)

PRODUCTS = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
KERNELS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
ADDED = np.array([[0, 1, 1, 0], [0, 1, -1, 0], [1, 1, 1, 0], [0, 1, -1, -1]])
"""Lavin and Gray's matrices B, G; and what is added up of the products: m1 + m2, m1 - m2, and the two outputs."""


def linear_bound(weight: np.ndarray) -> float:
    """Largest sum of ``|coefficient| / unit`` of any number that is computed, each as a linear map of a 4x4 tile."""
    units = [1, 0.5, 0.5, 1, 1, 1, 1, 1]
    maps = np.einsum("qk,ki,kr->qir", np.concatenate([np.eye(4), ADDED]), PRODUCTS, KERNELS)
    found = 0.0
    for y in range(8):
        for x in range(8 if y >= 6 else 4):  # the second axis is added up once the first is
            coefficients = np.einsum("ir,ocrs,js->ocij", maps[y], weight, maps[x])
            found = max(found, np.abs(coefficients).sum(axis=(1, 2, 3)).max() / units[y] / units[x])
    return found


def equals_accumulate(weight: np.ndarray, s: np.ndarray, padding: tuple[int, int]) -> bool:
    """Whether both orders of axes give the sums to the bit."""
    expected = Conv(weight=weight, padding=padding).accumulate(s[None].astype(np.int64))[0]
    first = tiled_convolution(weight, s.shape, padding, (1, 2))
    turned = s.transpose(1, 2, 0)
    last = tiled_convolution(weight, turned.shape, padding, (0, 1))
    return np.array_equal(first(s), expected) and np.array_equal(last(turned).transpose(2, 0, 1), expected)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 3, 127, 30_000]))
def test_equals_accumulate_up_to_the_promised_payload(
    data: st.DataObject, inputs: int, outputs: int, largest_weight: int
) -> None:
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    height, width = (data.draw(st.integers(max(1, 3 - 2 * pad), 8)) for pad in padding)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low = data.draw(st.sampled_from([-largest_weight, 0, largest_weight - 1]))
    weight = rng.integers(low, largest_weight + 1, (outputs, inputs, 3, 3))
    largest = largest_payload(weight)
    assert largest == (1 << 24) // max(4, int(linear_bound(weight)))
    near = rng.integers(max(0, largest - 2), largest + 1, (inputs, height, width))
    signs = rng.choice([-1, 1], near.shape)
    for s in (near, near * signs, rng.integers(-largest, largest + 1, near.shape)):
        assert equals_accumulate(weight, s, padding)


@pytest.mark.parametrize("inputs", [1, 3, 16])
def test_the_payload_is_at_its_limit(inputs: int) -> None:
    """With all weights alike the products reach the bound; a little beyond, and they are odd beyond 2**24."""
    weight = np.full((1, inputs, 3, 3), 127)
    largest = largest_payload(weight)
    assert largest == (1 << 24) // (4 * 9 * 127 * inputs)
    for payload, is_exact in ((largest, True), (int(1.1 * largest), False)):
        found = []
        for place in np.ndindex(4, 4):
            s = np.full((inputs, 4, 4), payload)
            s[0][place] -= 1
            found.append(equals_accumulate(weight, s, (0, 0)))
        assert all(found) == is_exact


@pytest.mark.parametrize(
    ("kernel", "bound"),
    [
        (np.zeros((3, 3)), 4),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 4),
        ([[5, 0, 0], [0, 0, 0], [0, 0, 0]], 20),
        (np.ones((3, 3)), 36),
        ([[1, 0, 0], [0, 0, 0], [-1, 0, 0]], 4),  # cancels in m[1] and m[2] of the first axis
        ([[1, -1, 1], [-1, 1, -1], [1, -1, 1]], 36),
        (np.full((3, 3), 1 << 21), 36 << 21),
    ],
)
def test_largest_payload(kernel: np.ndarray, bound: int) -> None:
    weight = np.array(kernel, np.int64)[None, None]
    assert largest_payload(weight) == (1 << 24) // bound
    both = np.concatenate([weight, -weight], axis=1)  # channels count with their magnitudes
    assert largest_payload(both) == (1 << 24) // max(4, 2 * bound * bool(weight.any()))


def test_results_are_contiguous_and_spikes_of_any_format() -> None:
    weight = weights(2, 3, 3, 3)
    kernel = tiled_convolution(weight, (3, 5, 4), (1, 1), (1, 2))
    s = np.random.default_rng(0).integers(0, 2, (3, 5, 4))
    expected = Conv(weight=weight, padding=(1, 1)).accumulate(s[None])[0]
    for dtype in (bool, np.int8, np.int32, np.float32, np.float64):
        found = kernel(s.astype(dtype))
        assert np.array_equal(found, expected)
        assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)


def test_nothing_is_left_to_compile_after_the_warm_up() -> None:
    warm_up()
    before = len(transform_tiles.signatures), len(merge_products.signatures)
    for shape, axes in (((2, 3, 3), (1, 2)), ((1, 9, 4), (1, 2)), ((3, 3, 2), (0, 1)), ((6, 7, 4), (0, 1))):
        weight = weights(3, shape[3 - sum(axes)], 3, 3)
        tiled_convolution(weight, shape, (0, 0), axes)(np.ones(shape))
    assert (len(transform_tiles.signatures), len(merge_products.signatures)) == before == (2, 2)


def test_it_is_taken_up_to_its_payload_and_plain_sums_beyond() -> None:
    conv, shape = Conv(weight=weights(5, 16, 3, 3), padding=(1, 0)), (16, 5, 7)
    kernel = SampleKernel(conv, shape)
    assert kernel.bounded is not None
    widest = (1 << 24) // int(conv.weight_sum)
    assert kernel.bounded.largest == largest_payload(conv.weight) < widest
    rng = np.random.default_rng(0)
    for largest, forms in ((kernel.bounded.largest, set()), (widest, {32}), (widest + 1, {32, 64})):
        s = rng.integers(1, largest + 1, shape)
        s.flat[0] = largest
        assert np.array_equal(kernel(s.astype(np.int32)), conv.accumulate(s[None])[0])
        assert set(kernel.dense) == forms


def test_events_have_to_be_fewer_where_it_is_taken() -> None:
    conv, shape = Conv(weight=weights(64, 16, 3, 3)), (16, 9, 9)
    kernel = SampleKernel(conv, shape)
    assert kernel.by_event is not None
    assert kernel.bounded is not None
    called = []
    kernel.bounded = kernel.bounded._replace(kernel=lambda s: called.append("tiles") or s)
    kernel.by_event = kernel.by_event._replace(kernel=lambda s: called.append("events") or s)
    kernel.dense[32] = lambda s: called.append("BLAS") or s
    few = int(kernel.by_event.break_even * kernel.size)
    s = np.ones(shape, np.float32)
    for largest, events in ((1, few // 2 - 1), (1, few // 2 + 1), (kernel.bounded.largest + 1, few - 1)):
        kernel(s, largest, events)
    kernel(s, kernel.bounded.largest + 1, few + 1)
    assert called == ["events", "tiles", "events", "BLAS"]


@pytest.mark.parametrize(
    ("conv", "has_it"),
    [
        (Conv(weight=weights(1, 16, 3, 3), padding=(2, 2)), True),
        (Conv(weight=weights(1, 15, 3, 3)), False),
        (Conv(weight=weights(1, 16, 3, 2)), False),
        (Conv(weight=weights(1, 16, 3, 3), stride=(1, 2)), False),
        (Conv(weight=weights(1, 16, 3, 3), dilation=(2, 1)), False),
        (Conv(weight=weights(2, 16, 3, 3), groups=2), False),
        (Conv(weight=weights(1, 16, 3, 3) / 2), False),
    ],
)
def test_which_convolutions_have_it(conv: Conv, has_it: bool) -> None:
    assert (samples.bounded_form(conv, (conv.in_channels, 7, 7)) is not None) == has_it
    assert suits(conv.weight, conv.stride, conv.dilation, conv.groups) == (has_it or bool(conv.is_float))
