"""Folded pooling equals PyTorch's pooling and layer, and is left alone where it cannot be folded or costs too much."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from float_graph import evaluate, images_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lava_aug as la
from lava_aug import pooling
from lava_aug.layers import Conv, Dense, Relay, Shape, SumPool, Synapse
from lava_aug.network import INPUT
from lava_aug.pooling import fold_pools, folded_synapse
from lava_aug.tracing import FloatLayer

Pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def sum_pool(kernel_size: Any, **options: Any) -> SumPool:
    return SumPool(kernel_size=kernel_size, **options)


def pooled(x: torch.Tensor, pool: SumPool, divisor: int) -> torch.Tensor:
    return F.avg_pool2d(x, pool.kernel_size, pool.stride, pool.padding, divisor_override=divisor)


def agree(found: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@st.composite
def pools(draw: st.DrawFn) -> tuple[SumPool, int, Shape]:
    """A pooling, its divisor, and the shape of the maps it takes: not square, not a multiple of its stride."""
    kernel = draw(Pairs)
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    shape = (draw(st.integers(1, 2)) * 2, *(size + draw(st.integers(0, 8)) for size in kernel))
    pool = sum_pool(kernel, stride=draw(Pairs), padding=padding)
    return pool, draw(st.sampled_from([kernel[0] * kernel[1], 1, 5])), shape


@settings(deadline=None)
@given(pooling=pools(), seed=st.integers(0, 2**32 - 1))
def test_pooling_folded_into_a_dense_layer(pooling: tuple[SumPool, int, Shape], seed: int) -> None:
    pool, divisor, shape = pooling
    x = pooled(images := images_of(shape, 3, seed).double(), pool, divisor)
    weight = torch.tensor(np.random.default_rng(seed).normal(size=(4, x[0].numel())), dtype=torch.float32)
    folded = folded_synapse(pool, divisor, Dense(weight=weight.numpy()), shape)
    assert isinstance(folded, Dense)
    agree(folded.accumulate(images.numpy()), x.flatten(1) @ weight.double().T)


@st.composite
def convolutions(draw: st.DrawFn, shape: Shape) -> Conv:
    """A convolution that fits maps of that shape."""
    groups = draw(st.sampled_from([1, 2]))
    dilation, padding = draw(Pairs), (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    window = [
        draw(st.integers(1, min(3, 1 + (size + 2 * p - 1) // d)))
        for size, p, d in zip(shape[1:], padding, dilation, strict=True)
    ]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = rng.normal(size=(2 * groups, shape[0] // groups, *window))
    return Conv(weight=weight, stride=draw(Pairs), padding=padding, dilation=dilation, groups=groups)


@settings(deadline=None)
@given(data=st.data(), pooling=pools(), seed=st.integers(0, 2**32 - 1))
def test_pooling_folded_into_a_convolution(data: st.DataObject, pooling: tuple[SumPool, int, Shape], seed: int) -> None:
    pool, divisor, shape = pooling
    x = pooled(images := images_of(shape, 3, seed).double(), pool, divisor)
    conv = data.draw(convolutions(tuple(x.shape[1:])))
    folded = folded_synapse(pool, divisor, conv, shape)
    if folded is None:
        assert max(conv.padding)  # without padding it is always exact
        return
    options = (conv.stride, conv.padding, conv.dilation, conv.groups)
    agree(folded.accumulate(images.numpy()), F.conv2d(x, torch.tensor(conv.weight).double(), None, *options))


def conv3(**options: Any) -> Conv:
    return Conv(weight=np.random.default_rng(0).normal(size=(2, 2, 3, 3)), **options)


@pytest.mark.parametrize(
    ("pool", "conv", "shape", "folds"),
    [
        (sum_pool(2, stride=2), conv3(padding=1), (2, 6, 8), True),
        (sum_pool(3, stride=2, padding=1), conv3(padding=1), (2, 5, 7), True),
        (sum_pool(3, stride=2), conv3(), (2, 7, 9), True),
        (sum_pool(2, stride=2), conv3(), (2, 7, 9), True),
        # a window outside the pooled map would see the image: above and left, since windows overlap
        (sum_pool(3, stride=2), conv3(padding=1), (2, 7, 9), False),
        (sum_pool(3, stride=2), conv3(padding=(1, 0)), (2, 7, 9), False),
        (sum_pool(3, stride=2), conv3(padding=(0, 1)), (2, 7, 9), False),
        # below or right, since the last row or column of the map is in no window
        (sum_pool(2, stride=2), conv3(padding=1), (2, 7, 8), False),
        (sum_pool(2, stride=2), conv3(padding=1), (2, 6, 9), False),
        (sum_pool(2, stride=2), conv3(padding=(1, 0)), (2, 6, 9), True),
        (sum_pool(2, stride=2), conv3(padding=(0, 1)), (2, 7, 8), True),
        (sum_pool(2, stride=2, dilation=2), conv3(), (2, 8, 8), False),
    ],
)
def test_a_padded_convolution_takes_in_pooling_only_where_that_is_exact(
    pool: SumPool, conv: Conv, shape: Shape, folds: bool
) -> None:
    folded = folded_synapse(pool, 4, conv, shape)
    assert (folded is not None) == folds
    if folded is not None:
        x = images_of(shape)
        expected = F.conv2d(pooled(x, pool, 4), torch.tensor(conv.weight), None, conv.stride, conv.padding)
        agree(folded.accumulate(x.numpy()), expected)


@pytest.mark.parametrize("taker", [sum_pool(2), Relay()])
def test_pooling_folds_only_into_weights(taker: Synapse) -> None:
    assert folded_synapse(sum_pool(2, stride=2), 4, taker, (2, 8, 8)) is None


def chain(shape: Shape, *synapses: tuple[str, Synapse, int]) -> list[FloatLayer]:
    """Layers one after the other, from (name, synapse, divisor)."""
    layers, source = [], INPUT
    for name, synapse, divisor in synapses:
        shape = synapse.output_shape(shape)
        bias = np.full((shape[0], *[1] * (len(shape) - 1)), 0.25) if isinstance(synapse, Conv) else None
        layers.append(FloatLayer(name, source, synapse, bias, shape, divisor, node=f"node_{name}"))
        source = name
    return layers


POOL = ("pool", sum_pool(2, stride=2), 4)


def names(layers: list[FloatLayer]) -> list[str]:
    return [layer.name for layer in layers]


def same_map(shape: Shape, layers: list[FloatLayer], folded: list[FloatLayer]) -> None:
    x = images_of(shape)
    last = layers[-1].name
    np.testing.assert_allclose(evaluate(folded, x)[last], evaluate(layers, x)[last], atol=1e-5)


def test_folding_keeps_the_rest_of_the_layer_and_the_list() -> None:
    layers = chain((2, 10, 12), ("first", conv3(), 1), POOL, ("second", conv3(), 1))
    layers[2].relu = True
    before = list(layers)
    folded = fold_pools(layers, (2, 10, 12))
    assert layers == before
    assert names(folded) == ["first", "second"]
    assert (folded[1].source, folded[1].relu, folded[1].node) == ("first", True, "node_second")
    assert isinstance(folded[1].synapse, Conv)
    assert (folded[1].synapse.window, folded[1].synapse.stride) == ((6, 6), (2, 2))
    same_map((2, 10, 12), layers, folded)


def test_poolings_in_a_row_are_all_folded() -> None:
    dense = Dense(weight=np.random.default_rng(1).normal(size=(3, 12)))
    overlapping = ("overlapping", sum_pool(3, stride=1, padding=1), 9)
    layers = chain((2, 8, 12), overlapping, POOL, ("again", sum_pool(2, stride=2), 4), ("dense", dense, 1))
    folded = fold_pools(layers, (2, 8, 12))
    assert names(folded) == ["dense"]
    same_map((2, 8, 12), layers, folded)


def test_pooling_on_the_images_is_folded() -> None:
    layers = chain((2, 8, 10), POOL, ("conv", conv3(), 1))
    folded = fold_pools(layers, (2, 8, 10))
    assert [(layer.name, layer.source) for layer in folded] == [("conv", INPUT)]
    same_map((2, 8, 10), layers, folded)


def test_the_readouts_pooling_and_one_before_a_relu_stay() -> None:
    head = ("head", sum_pool(2), 4)
    layers = chain((2, 10, 10), ("first", conv3(), 1), POOL, ("second", conv3(), 1), head)
    assert names(fold_pools(layers, (2, 10, 10))) == ["first", "second", "head"]
    layers[1].relu = True
    assert names(fold_pools(layers, (2, 10, 10))) == ["first", "pool", "second", "head"]


def test_pooling_stays_if_one_of_its_takers_cannot_have_it() -> None:
    layers = chain((2, 6, 8), POOL, ("one", conv3(), 1))
    other = FloatLayer("two", "pool", conv3(), None, layers[1].shape)
    assert [(layer.name, layer.source) for layer in fold_pools([*layers, other], (2, 6, 8))] == [
        ("one", INPUT),
        ("two", INPUT),
    ]
    relay = FloatLayer("two", "pool", Relay(), None, layers[0].shape)
    assert fold_pools([*layers, relay], (2, 6, 8)) == [*layers, relay]


@pytest.mark.parametrize(
    ("window", "growth", "free", "folds"),
    [
        # 2x2 pooling in front of 3x3 weights without padding: 36 instead of 9 synapses
        (2, 4, 0, True),
        (2, 3, 0, False),
        (3, 4, 0, False),
        (3, 9, 0, True),
        # 2 * 2 channels, 2x3 outputs, 36 weights each: 864 synapses
        (2, 0, 864, True),
        (2, 0, 863, False),
    ],
)
def test_folding_may_cost_so_many_synapses(
    monkeypatch: pytest.MonkeyPatch, window: int, growth: int, free: int, folds: bool
) -> None:
    monkeypatch.setattr(pooling, "MAX_GROWTH", growth)
    monkeypatch.setattr(pooling, "FREE_SYNAPSES", free)
    shape = (2, 4 * window, 5 * window)
    pool = ("pool", sum_pool(window, stride=window), window**2)
    layers = chain(shape, pool, ("conv", conv3(), 1))
    assert names(fold_pools(layers, shape)) == (["conv"] if folds else ["pool", "conv"])


def test_the_limits_of_a_plain_conversion() -> None:
    assert (pooling.MAX_GROWTH, pooling.FREE_SYNAPSES) == (4, 2**20)


def test_the_summary_says_what_was_folded() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    images = torch.rand(5, 1, 8, 8)
    net = la.convert(layers, images, "termapping")
    assert net["3"].note == "2 folded in"
    assert "conv 4x4 /2x2 (2 folded in)" in net.summary()
    assert la.convert(layers, images, "augmapping")["3"].note is None
