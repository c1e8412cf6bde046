"""The export to stock Sigma-Delta files, on unmodified netx of lava-dl."""

import warnings
from pathlib import Path
from typing import Any

import h5py
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
from lava_aug.lava.supervision import supervise
from lava_aug.netx.exporting import requantized
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.layers import NetxDense, NetxInput, SigmaDelta
from lava_aug.netx.requantization import is_kept, present, stock_weights
from lava_aug.processes import ImageSource, Recorder
from lava_aug.simulation.pipeline import Recording

pytestmark = pytest.mark.filterwarnings("ignore")  # of lava-dl, when it is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lava.lib.dl.netx import hdf5
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
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


@settings(max_examples=300)
@example(np.array([[-64, -3]]))
@example(np.array([[-64, 0]]))
@example(np.array([[-65, 0]]))
@example(np.array([[-256, 254]]))
@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.integers(-256, 254)))
def test_netx_and_dense_compute_with_the_weights_that_we_say(weight: np.ndarray) -> None:
    assume(weight.any())
    with np.errstate(divide="ignore"):
        stored, bits, exponent, _ = optimize_weight_bits(weight)
    mode = determine_sign_mode(stored)
    kept = np.asarray(truncate_weights(clip_weights(stored, mode, num_bits=8), mode, bits))
    assert exponent <= 0
    np.testing.assert_array_equal(
        stock_weights(present(weight))[np.searchsorted(present(weight), weight)], kept * 2.0**exponent
    )
    assert is_kept(weight) == (np.abs(weight).max() <= 127 and np.array_equal(kept, weight << -exponent))


def test_dense_weights_of_which_netx_loses_a_bit_are_refused(tmp_path: Path) -> None:
    """With a highest weight of 0, too: 255 is cut to 128, as no other weight needs more bits."""
    first = NetxInput(shape=(2,), neuron=SigmaDelta(vth=0))
    dense = NetxDense(shape=(1,), weight=np.array([[-64, 1]]), neuron=SigmaDelta(vth=0, sums=True))
    NetxNetwork(layers=(first, dense)).write(tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r+") as file:
        file["layer/1/weight"][...] = [[-64, 0]]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(la.FileError, match="from -64 to 0 to 8 bits, would compute with -32 in place of -64"):
        la.netx.load(tmp_path / "a.net")
    net: Any = hdf5.Network(net_config=str(tmp_path / "a.net"))
    source, recording = ImageSource(images=np.array([[10, 0]]), num_steps=1), Recording((1,), 2, keep=True)
    source.s_out.connect(net.in_layer.neuron.a_in)
    net.out_layer.out.connect(Recorder(recording=recording).s_in)
    with supervise(source):
        source.run(condition=RunSteps(num_steps=2), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    assert recording.data is not None
    np.testing.assert_array_equal(recording.data.ravel(), [0, -32 * 640])


@pytest.mark.parametrize(
    ("net", "threshold", "steps", "fast"),
    [(map_net(), 0.0, 1, True), (map_net(), 0.02, 2, False), (small_net(), 0.0, 1, True)],
    ids=["maps", "threshold, stock models", "rows"],
)
def test_the_model_is_what_netx_computes(
    net: Network, threshold: float, steps: int, fast: bool, tmp_path: Path
) -> None:
    x = images_for(net, 6)
    made = la.netx.export(net, tmp_path / "out.net", images=x, threshold=threshold)
    config = None if fast else Loihi2SimCfg(select_tag="fixed_pt")
    found = la.netx.run(tmp_path / "out.net", x, steps, config=config)
    expected = la.netx.simulate(made.network, x, steps)
    np.testing.assert_array_equal(found.sent, expected.sent)
    np.testing.assert_array_equal(found.answers, expected.answers)
    assert list(found.events) == list(expected.events)
    for name, events in found.events.items():
        np.testing.assert_array_equal(events, expected.events[name])
    assert np.ptp(expected.answers, axis=0).all()


def test_digits_are_classified_by_stock_netx(tmp_path: Path) -> None:
    data = load_digits()
    net = la.convert(train(data, epochs=5), data.train_images, "augmapping")
    la.netx.export(net, tmp_path / "out.net")
    x, y = data.test_images[:50], data.test_labels[:50]
    own, found = la.simulate(net, x), la.netx.run(tmp_path / "out.net", x)
    assert abs(int(np.sum(found.predictions == y)) - int(np.sum(own.predictions[-1] == y))) <= 1
    assert np.mean(found.predictions == y) > 0.9
    np.testing.assert_array_equal(found.sent, la.netx.simulate(requantized(net).network, x).sent)


def test_what_cannot_be_run(tmp_path: Path) -> None:
    la.netx.export(small_net(), tmp_path / "out.net")
    with pytest.raises(la.FileError, match="no such file"):
        la.netx.run(tmp_path / "none.net", images_for(small_net()))
    with pytest.raises(la.InputError, match=r"inputs: expected whole numbers; give pixels from 0 to 255"):
        la.netx.run(tmp_path / "out.net", np.full((1, 6), 0.5))
    with pytest.raises(la.InputError, match="num_steps: expected an integer of at least 1, found 0"):
        la.netx.run(tmp_path / "out.net", images_for(small_net()), 0)
