"""The export to stock Sigma-Delta files, on unmodified netx of lava-dl."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from examples import weights
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nets import images_for, layer, small_net

import lava_aug as la
from lava_aug.core.layers import Conv, Dense, SumPool
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron
from lava_aug.examples.digits import load_digits, train
from lava_aug.netx.sdnn_export import requantized
from lava_aug.netx.sdnn_requantization import is_kept

pytestmark = pytest.mark.filterwarnings("ignore")  # of lava-dl, when it is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights


def map_net() -> Network:
    """Non-square maps, kernels, strides and paddings, groups, dilation, pooling, biases."""
    first = Conv(weight=weights(4, 2, 3, 2), padding=(1, 0), stride=(2, 1))
    second = Conv(weight=weights(4, 2, 1, 2, seed=4), groups=2, dilation=(1, 2), padding=(0, 1))
    shape = SumPool(kernel_size=(3, 2), stride=(1, 2)).output_shape(second.output_shape(first.output_shape((2, 6, 7))))
    return Network(
        input_shape=(2, 6, 7),
        layers=(
            layer("conv", INPUT, first, AugmentedNeuron(vth=900), bias=weights(4, 1, 1, largest=9000, seed=1)),
            layer("grouped", "conv", second, AugmentedNeuron(vth=200)),
            layer("pool", "grouped", SumPool(kernel_size=(3, 2), stride=(1, 2)), AugmentedNeuron(vth=1, signed=True)),
            layer("fc", "pool", Dense(weight=weights(5, int(np.prod(shape)), seed=2)), AugmentedNeuron(vth=400)),
            layer("out", "fc", Dense(weight=weights(3, 5, seed=3)), bias=[300, -20_000, 9000]),
        ),
    )


@settings(max_examples=200, deadline=None)
@example(np.array([[-64, -3]]))
@example(np.array([[-65, 0]]))
@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.integers(-127, 127)))
def test_netx_and_dense_keep_what_we_say_they_keep(weight: np.ndarray) -> None:
    assume(weight.any())
    with np.errstate(divide="ignore"):
        stored, bits, exponent, _ = optimize_weight_bits(weight)
    mode = determine_sign_mode(stored)
    kept = np.asarray(truncate_weights(clip_weights(stored, mode, num_bits=8), mode, bits))
    assert exponent <= 0
    assert np.array_equal(kept, weight << -exponent) == is_kept(weight)


@pytest.mark.parametrize(
    ("net", "threshold", "steps_per_image", "fast"),
    [(map_net(), 0.0, 1, True), (map_net(), 0.02, 2, False), (small_net(), 0.0, 1, True)],
    ids=["maps", "threshold, stock models", "rows"],
)
def test_the_model_is_what_netx_computes(
    net: Network, threshold: float, steps_per_image: int, fast: bool, tmp_path: Path
) -> None:
    x = images_for(net, 6)
    made = la.export_sdnn(net, tmp_path / "out.net", images=x, threshold=threshold)
    found = la.run_sdnn(tmp_path / "out.net", x, steps_per_image=steps_per_image, fast=fast, timeout=None)
    expected = made.network.simulate(x, steps_per_image)
    np.testing.assert_array_equal(found.readout, expected.readout)
    np.testing.assert_array_equal(found.answers, expected.answers)
    for one, other in zip(found.events.values(), expected.events.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.ptp(expected.answers, axis=0).all()


def test_digits_are_classified_by_stock_netx(tmp_path: Path) -> None:
    data = load_digits()
    net = la.convert(train(data, epochs=5), data.train_images, "augmapping")
    la.export_sdnn(net, tmp_path / "out.net")
    x, y = data.test_images[:50], data.test_labels[:50]
    own, found = la.simulate(net, x), la.run_sdnn(tmp_path / "out.net", x, timeout=None)
    assert abs(int(np.sum(found.predictions == y)) - int(np.sum(own.predictions[-1] == y))) <= 1
    assert np.mean(found.predictions == y) > 0.9
    np.testing.assert_array_equal(found.readout, requantized(net).network.simulate(x).readout)


def test_what_cannot_be_run(tmp_path: Path) -> None:
    la.export_sdnn(small_net(), tmp_path / "out.net")
    with pytest.raises(la.FileError, match="no such file"):
        la.run_sdnn(tmp_path / "none.net", images_for(small_net()))
    with pytest.raises(la.InputError, match=r"images: expected uint8 of shape \(N, 6\), at least one, found float64"):
        la.run_sdnn(tmp_path / "out.net", np.zeros((1, 6)))
    with pytest.raises(la.InputError, match="steps_per_image: expected an integer of at least 1, found 0"):
        la.run_sdnn(tmp_path / "out.net", images_for(small_net()), steps_per_image=0)
