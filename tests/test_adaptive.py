"""Weights that are rounded together, and how near networks are to their models."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convert_models import IMAGES, made
from float_graph import output_of
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import lava_aug as la
from lava_aug.conversion.adaptive import MOST_INPUTS, rounded_to_inputs
from lava_aug.core.fidelity import fidelity
from lava_aug.core.layers import Conv, Dense, Scale


def together(synapse: Any, sent: torch.Tensor, step: int = 1, limit: int = 127) -> np.ndarray:
    found = rounded_to_inputs(synapse, sent, step, limit)
    assert found is not None
    return found


def test_what_one_weight_loses_another_one_takes_over() -> None:
    """Both inputs are the same: 0.4 and 0.4 are 0 and 0 to the nearest, but 0.8 together."""
    same = torch.arange(10.0)[:, None].expand(-1, 2)
    assert together(Dense(weight=np.array([[0.4, 0.4], [1.3, -0.7]])), same).sum(1).tolist() == [1, 1]


@given(st.integers(0, 2**32 - 1))
def test_inputs_that_have_nothing_to_do_with_each_other_are_rounded_to_the_nearest(seed: int) -> None:
    weight = np.random.default_rng(seed).uniform(-9, 9, (3, 4))
    one_at_a_time = torch.cat([torch.eye(4), -torch.eye(4)])  # of mean 0, without covariances
    assert np.array_equal(together(Dense(weight=weight), one_at_a_time), np.rint(weight))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 8]))
def test_sums_over_inputs_are_nearer_than_with_the_nearest_weights(seed: int, step: int) -> None:
    rng = np.random.default_rng(seed)
    weight, limit = rng.uniform(-60, 60, (16, 24)), 7 if step == 8 else 64
    sent = torch.as_tensor(np.abs(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 24))).round(2)).float()
    found = together(Dense(weight=weight), sent, step, limit)
    nearest = np.rint(weight / step).clip(-limit, limit) * step
    assert np.array_equal(found % step, np.zeros_like(found))
    assert np.abs(found).max() <= step * limit
    varies = (sent - sent.mean(0)).double().numpy()
    errors = [float(((varies @ (weight - rounded).T) ** 2).mean()) for rounded in (found, nearest)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": (1, 2)},
        {"groups": 2, "dilation": (2, 2)},
        {"groups": 4},
    ],
)
def test_windows_of_a_convolution_are_the_inputs_of_its_sums(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    groups = options.get("groups", 1)
    conv = Conv(weight=rng.uniform(-9, 9, (8, 4 // groups, 3, 2)), **options)
    sent = F.avg_pool2d(torch.as_tensor(rng.integers(0, 99, (5, 4, 12, 12))).float(), 3, 1)
    sides = {name: options.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))}
    unfolded = F.unfold(sent, (3, 2), **sides)
    windows = unfolded.reshape(5, groups, -1, unfolded.shape[2])
    found = together(conv, sent).reshape(groups, 8 // groups, -1)
    for group in range(groups):
        dense = Dense(weight=conv.weight.reshape(groups, 8 // groups, -1)[group])
        alone = together(dense, windows[:, group].transpose(1, 2).reshape(-1, dense.weight.shape[1]))
        assert np.array_equal(found[group], alone)


def test_windows_of_rows() -> None:
    """As of maps of height 1."""
    rng = np.random.default_rng(0)
    conv = Conv(weight=rng.uniform(-9, 9, (8, 4, 1, 3)), padding=(0, 1))
    sent = F.avg_pool2d(torch.as_tensor(rng.integers(0, 99, (5, 4, 1, 14))).float(), (1, 3), 1)
    assert np.array_equal(together(conv, sent[:, :, 0]), together(conv, sent))


def test_what_has_no_sums_to_keep_is_left_to_others() -> None:
    maps = torch.ones(2, 3, 4, 4)
    assert rounded_to_inputs(Scale(weight=np.full(3, 0.5), offset=0, channels=3), maps, 1, 127) is None
    assert rounded_to_inputs(Conv(weight=np.ones((3, 1, 1, 1)), groups=3), maps, 1, 127) is None
    wide = MOST_INPUTS + 1
    assert rounded_to_inputs(Dense(weight=np.ones((1, wide))), torch.ones(1, wide), 1, 127) is None


@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_large_means_of_inputs_do_not_matter(mean: float) -> None:
    rng = np.random.default_rng(1)
    dense, sent = Dense(weight=rng.uniform(-9, 9, (5, 40))), torch.as_tensor(rng.integers(0, 64, (300, 40))).float()
    assert np.array_equal(together(dense, sent + mean), together(dense, sent))


def test_inputs_that_never_change_are_rounded_to_the_nearest() -> None:
    weight = np.array([[0.4, 1.6, -2.2]])
    assert together(Dense(weight=weight), torch.full((5, 3), 7.0)).tolist() == [[0, 2, -2]]


@pytest.mark.parametrize("name", ["pooled", "linear_between", "all_convolutions"])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[:2]])
def test_networks_come_nearer_to_their_models(name: str, images: torch.Tensor) -> None:
    """On other images than those of calibration."""
    model = made(name)
    others = 255 - IMAGES
    wanted = output_of(model, others / 255)
    errors = []
    for quality in ("fast", "best"):
        net = la.convert(model, images, weight_bits=5, resolution=1 / 64, num_steps=8, quality=quality)
        errors.append(np.abs(la.settle(net, others).logits.reshape(wanted.shape) - wanted).mean())
    assert errors[1] < 0.9 * errors[0]


# How near networks are


@given(st.integers(0, 2**32 - 1))
def test_fidelity_is_agreement_and_correlation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, m = rng.normal(size=(2, 7, 5))
    found = fidelity(y, m, predicts=True)
    assert found.num_images == 7
    assert found.agreement == np.mean(y.argmax(1) == m.argmax(1))
    assert found.correlation == pytest.approx(np.corrcoef(y.ravel(), m.ravel())[0, 1])
    linear = fidelity(y, 3 * y + 2, predicts=False)
    assert (linear.agreement, linear.correlation) == (None, pytest.approx(1))


def test_what_is_constant_correlates_with_what_is_constant() -> None:
    ones, other = np.ones((3, 2)), np.arange(6.0).reshape(3, 2)
    assert fidelity(ones, 2 * ones, predicts=False).correlation == 1
    assert fidelity(ones, other, predicts=False).correlation == 0


@pytest.mark.parametrize("method", ["augmapping", "termapping"])
def test_a_network_says_how_near_it_is(method: Any, tmp_path: Path) -> None:
    model = made("pooled")
    net = la.convert(model, IMAGES, method, num_steps=4)
    assert net.fidelity is not None
    some = IMAGES[np.linspace(0, len(IMAGES) - 1, 24 if method == "augmapping" else 8).astype(int)]
    wanted = output_of(model, some / 255).reshape(len(some), -1)
    logits = la.simulate(net, some).logits[-1].reshape(wanted.shape)
    assert net.fidelity.num_images == len(some)
    assert net.fidelity.agreement == pytest.approx(np.mean(logits.argmax(1) == wanted.argmax(1)))
    assert net.fidelity.correlation == pytest.approx(np.corrcoef(logits.ravel(), wanted.ravel())[0, 1], abs=1e-6)
    assert net.fidelity.describe() in net.summary()
    assert net.to_dict()["fidelity"] == dataclasses.asdict(net.fidelity)
    la.save(net, tmp_path / "a.net")
    assert la.load(tmp_path / "a.net") == net
    bare = net.replace(fidelity=None)
    la.save(bare, tmp_path / "b.net")
    assert la.load(tmp_path / "b.net") == bare != net
