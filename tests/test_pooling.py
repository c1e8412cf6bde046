"""Folded pooling equals PyTorch's pooling and layer, and is left alone where it cannot be folded or costs too much."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from float_graph import Model, images_of, lively, traced
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lava_aug as la
from lava_aug.conversion import composition
from lava_aug.conversion.composition import merged
from lava_aug.conversion.methods import Needs
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Conv, Dense, Shape, SumPool, Synapse
from lava_aug.core.synapse import Weighted

Pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def sum_pool(kernel_size: Any, **options: Any) -> SumPool:
    return SumPool(kernel_size=kernel_size, **options)


def pooled(x: torch.Tensor, pool: SumPool) -> torch.Tensor:
    return F.avg_pool2d(x, pool.kernel_size, pool.stride, pool.padding, divisor_override=1)


def agree(found: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@st.composite
def pools(draw: st.DrawFn) -> tuple[SumPool, Shape]:
    """A pooling, and the shape of the maps it takes: not square, not a multiple of its stride."""
    kernel = draw(Pairs)
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    shape = (draw(st.integers(1, 2)) * 2, *(size + draw(st.integers(0, 8)) for size in kernel))
    pool = sum_pool(kernel, stride=draw(Pairs), padding=padding)
    return pool, shape


@settings(deadline=None)
@given(pooling=pools(), seed=st.integers(0, 2**32 - 1))
def test_pooling_folded_into_a_dense_layer(pooling: tuple[SumPool, Shape], seed: int) -> None:
    pool, shape = pooling
    x = pooled(images := images_of(shape, 3, seed).double(), pool)
    weight = torch.tensor(np.random.default_rng(seed).normal(size=(4, x[0].numel())), dtype=torch.float32)
    folded = merged(Dense(weight=weight.numpy()), pool, shape)
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
def test_pooling_folded_into_a_convolution(data: st.DataObject, pooling: tuple[SumPool, Shape], seed: int) -> None:
    pool, shape = pooling
    x = pooled(images := images_of(shape, 3, seed).double(), pool)
    conv = data.draw(convolutions(tuple(x.shape[1:])))
    folded = merged(conv, pool, shape)
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
    folded = merged(conv, pool, shape)
    assert (folded is not None) == folds
    if folded is not None:
        x = images_of(shape)
        expected = F.conv2d(pooled(x, pool), torch.tensor(conv.weight), None, conv.stride, conv.padding)
        agree(folded.accumulate(x.numpy()), expected)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape)


@pytest.mark.parametrize(
    ("outer", "inner", "shape", "weights"),
    [
        (Dense(weight=_normal(3, 18)), sum_pool(2, stride=2), (2, 6, 6), 3 * 2 * 6 * 6),
        (Conv(weight=_normal(3, 2, 2, 3)), sum_pool(2, stride=2), (2, 8, 8), 3 * 2 * 4 * 6),
        (Dense(weight=_normal(3, 4)), Dense(weight=_normal(4, 5)), (5,), 3 * 5),
        (Conv(weight=_normal(3, 4, 1, 1)), Conv(weight=_normal(4, 2, 3, 2), stride=(2, 2)), (2, 7, 7), 3 * 2 * 3 * 2),
    ],
)
def test_what_becomes_one_may_be_limited(outer: Weighted, inner: Synapse, shape: Shape, weights: int) -> None:
    found = merged(outer, inner, shape, weights)
    assert isinstance(found, type(outer))
    assert found.num_weights == weights
    x = images_of(shape, 3).double().numpy()
    np.testing.assert_allclose(found.accumulate(x), outer.accumulate(inner.accumulate(x)), atol=1e-5)
    said = f"one with the {inner.type_name} in front of it, of more than {weights - 1} weights"
    with pytest.raises(ConversionError, match=said):
        merged(outer, inner, shape, weights - 1)


def test_rows_are_folded_like_maps() -> None:
    pool, x = sum_pool((1, 3), stride=(1, 2), padding=(0, 1)), images_of((2, 9))
    sums = F.avg_pool1d(x, 3, 2, 1) * 3
    dense = Dense(weight=np.random.default_rng(0).normal(size=(3, 10)))
    conv = Conv(weight=np.random.default_rng(0).normal(size=(4, 2, 1, 2)))
    folded = [merged(taker, pool, (2, 9)) for taker in (dense, conv)]
    assert [type(found) for found in folded] == [Dense, Conv]
    for found, taker in zip(folded, (dense, conv), strict=True):
        assert found is not None
        agree(found.accumulate(x.numpy()), torch.tensor(taker.accumulate(sums.numpy())))


def test_pooling_is_not_folded_into_a_dense_layer_along_the_last_axis() -> None:
    dense = Dense(weight=np.ones((3, 4)))
    assert merged(dense, sum_pool(2, stride=2), (2, 6, 8)) is None


ORDINARY = Needs(signed=True, graded=False)


def names(*modules: nn.Module, shape: Shape = (2, 10, 12)) -> list[str]:
    """Layers of a model whose spikes are ordinary ones; it is also held against its layers."""
    return [layer.name for layer in traced(lively(nn.Sequential(*modules)), shape, needs=ORDINARY).layers]


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, **options)


def test_folding_keeps_the_rest_of_the_layer() -> None:
    model = lively(nn.Sequential(conv(), nn.AvgPool2d(2), conv(), nn.ReLU()))
    _, second, _ = traced(model, (2, 10, 12), needs=ORDINARY).layers
    (term,) = second.terms
    assert (term.source, second.activation.relu, second.folded) == ("0", True, ("1",))
    assert isinstance(term.synapse, Conv)
    assert (term.synapse.window, term.synapse.stride, term.gain) == ((6, 6), (2, 2), 0.25)


def test_poolings_in_a_row_are_all_folded() -> None:
    pools = nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2), nn.AvgPool2d(2)
    assert names(conv(padding=1), nn.ReLU(), *pools, nn.Flatten(), nn.Linear(12, 3), shape=(2, 8, 12)) in (
        ["0", "6"],
        ["0", "2", "6"],  # overlapping windows are no window of their own
    )
    assert names(conv(padding=1), nn.ReLU(), *pools[1:], nn.Flatten(), nn.Linear(12, 3), shape=(2, 8, 12)) == ["0", "5"]


def test_pooling_on_the_images_is_folded() -> None:
    assert names(nn.AvgPool2d(2), conv()) == ["1"]


def test_pooling_of_the_readout_and_before_a_relu_is_not_folded() -> None:
    assert names(conv(), nn.ReLU(), nn.AvgPool2d(2), conv(), nn.AvgPool2d(2)) == ["0", "3", "4"]
    assert names(conv(), nn.AvgPool2d(2), nn.ReLU(), conv(), nn.AvgPool2d(2)) == ["0", "1", "3", "4"]


def test_takers_of_one_pooling_fold_it_each_for_itself() -> None:
    model = Model(
        lambda m, x: m.one(y := F.avg_pool2d(F.relu(m.first(x)), 2)) + F.pad(m.two(y), (1, 1, 1, 1)),
        first=conv(),
        one=conv(padding=1),
        two=conv(),
    )
    layers = {layer.name: layer for layer in traced(lively(model), (2, 10, 12), needs=ORDINARY).layers}
    assert {term.folded for layer in layers.values() for term in layer.terms if isinstance(term.synapse, Conv)} == {
        (),
        ("avg_pool2d",),
    }


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
    monkeypatch.setattr(composition, "MAX_GROWTH", growth)
    monkeypatch.setattr(composition, "FREE_SYNAPSES", free)
    assert names(nn.AvgPool2d(window), conv(), shape=(2, 4 * window, 5 * window)) == (["1"] if folds else ["0", "1"])


def test_the_limits_of_a_plain_conversion() -> None:
    assert (composition.MAX_GROWTH, composition.FREE_SYNAPSES) == (4, 2**20)


def test_the_summary_says_what_was_folded() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    images = torch.rand(5, 1, 8, 8)
    net = la.convert(layers, images, "termapping")
    assert net["3"].note == "2 folded in"
    assert "conv 4x4 /2x2 (2 folded in)" in net.summary()
    assert la.convert(layers, images, "augmapping")["3"].note is None
