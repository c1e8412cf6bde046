"""Layer types: sums against PyTorch, every faster form against `accumulate`, counts by brute force, every error."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from examples import DEVICES, EXAMPLE_SYNAPSES, weights
from hypothesis import given, settings
from hypothesis import strategies as st

from lava_aug.errors import SpecError
from lava_aug.layers import SYNAPSES, Conv, Dense, Relay, Shape, SumPool, Synapse

each_example = pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=lambda x: str(x)[:70])


def spikes_for(shape: Shape, batch: int = 3, seed: int = 0) -> np.ndarray:
    """Random payloads of both signs, int64 ``(batch, *shape)``."""
    return np.random.default_rng(seed).integers(-255, 256, (batch, *shape))


def jacobian(synapse: Synapse, shape: Shape) -> np.ndarray:
    """``accumulate`` as a matrix: ``(inputs, outputs)``, a row for each input neuron's unit spike."""
    size = math.prod(shape)
    return synapse.accumulate(np.eye(size, dtype=np.int64).reshape(size, *shape)).reshape(size, -1)


def with_unit_weights(synapse: Synapse) -> Synapse:
    """The same synapses, each of weight 1."""
    weight = getattr(synapse, "weight", None)
    return synapse if weight is None else synapse.replace(weight=np.ones(weight.shape, np.int8))


def torch_dense(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    return F.linear(s.flatten(1), torch.tensor(synapse.weight).double())


def torch_conv(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    options = {name: getattr(synapse, name) for name in ("stride", "padding", "dilation", "groups")}
    return F.conv2d(s, torch.tensor(synapse.weight).double(), **options)


def torch_pool(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    if synapse.dilation == (1, 1):
        height, width = synapse.padding
        mean = F.avg_pool2d(F.pad(s, (width, width, height, height)), synapse.kernel_size, synapse.stride)
        return (mean * math.prod(synapse.kernel_size)).round()
    ones = torch.ones(s.shape[1], 1, *synapse.kernel_size, dtype=torch.float64)
    return F.conv2d(s, ones, None, synapse.stride, synapse.padding, synapse.dilation, groups=s.shape[1])


TORCH = {"dense": torch_dense, "conv": torch_conv, "pool": torch_pool, "relay": lambda synapse, s: s}
"""What each type is in PyTorch."""


def test_every_registered_synapse_has_an_example() -> None:
    assert {type(synapse) for synapse, _ in EXAMPLE_SYNAPSES} == set(SYNAPSES.values())
    assert set(SYNAPSES) == set(TORCH)


@each_example
def test_accumulate_equals_torch(synapse: Synapse, shape: Shape) -> None:
    s = spikes_for(shape)
    expected = TORCH[synapse.type_name](synapse, torch.tensor(s).double()).numpy()
    found = synapse.accumulate(s)
    assert np.array_equal(found, expected)
    assert found.shape == (3, *synapse.output_shape(shape))
    assert found.dtype == (np.float64 if synapse.is_float else np.int64)


sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None)
@given(st.data(), sizes, sizes, st.tuples(st.integers(0, 2), st.integers(0, 2)), sizes, st.integers(1, 3))
def test_any_convolution_equals_torch(
    data: st.DataObject,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    per_group, out = data.draw(st.integers(1, 2)), groups * data.draw(st.integers(1, 2))
    spans = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, window, padding, strict=True)]
    height, width = (data.draw(st.integers(span, span + 4)) for span in spans)
    conv = Conv(
        weight=weights(out, per_group, *window), stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    shape = (groups * per_group, height, width)
    s = spikes_for(shape, batch=2)
    expected = torch_conv(conv, torch.tensor(s).double()).numpy()
    assert np.array_equal(conv.accumulate(s), expected)
    assert conv.output_shape(shape) == expected.shape[1:]
    assert np.array_equal(conv.blas(shape, np.dtype(np.float32))(s[0].astype(np.float32)), expected[0])
    counts = jacobian(with_unit_weights(conv), shape).sum(1).reshape(shape)
    assert np.array_equal(conv.fan_out(shape), counts)


@each_example
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blas_equals_accumulate(synapse: Synapse, shape: Shape, dtype: type) -> None:
    form = synapse.blas(shape, np.dtype(dtype))
    for s in spikes_for(shape):
        found = form(s.astype(dtype))
        assert np.array_equal(found, synapse.accumulate(s[None])[0])
        assert found.dtype == dtype


@each_example
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_torch_equals_accumulate(synapse: Synapse, shape: Shape, dtype: torch.dtype, device: str) -> None:
    s = spikes_for(shape)
    found = synapse.torch(dtype, torch.device(device))(torch.tensor(s, dtype=dtype, device=device))
    assert np.array_equal(found.cpu().numpy(), synapse.accumulate(s))
    assert (found.dtype, found.device.type) == (dtype, device)


@each_example
def test_accumulate_does_not_wrap(synapse: Synapse, shape: Shape) -> None:
    for dtype, largest in ((np.uint8, 255), (np.int8, -128), (np.int16, 32767), (np.int32, -(2**31))):
        s = np.full((1, *shape), largest, dtype)
        found = synapse.accumulate(s)
        assert np.array_equal(found, synapse.accumulate(s.astype(np.int64)))
        assert found.dtype == (np.float64 if synapse.is_float else np.int64)
        assert np.array_equal(s, np.full((1, *shape), largest))  # not in place


@each_example
def test_accumulate_of_floats(synapse: Synapse, shape: Shape) -> None:
    s = spikes_for(shape)
    assert np.array_equal(synapse.accumulate(s / 4), synapse.accumulate(s) / 4)


@each_example
def test_fan_out_counts_the_synapses_that_leave_each_neuron(synapse: Synapse, shape: Shape) -> None:
    found = synapse.fan_out(shape)
    assert found.tolist() == jacobian(with_unit_weights(synapse), shape).sum(1).reshape(shape).tolist()
    assert found.dtype == np.int64


@each_example
def test_weight_sum_is_the_largest_sum_into_one_neuron(synapse: Synapse, shape: Shape) -> None:
    matrix = jacobian(synapse, shape)
    assert synapse.weight_sum == np.abs(matrix).sum(0).max()
    worst = int(np.abs(matrix).sum(0).argmax())
    s = np.sign(matrix[:, worst]).reshape(1, *shape).astype(np.int64) * 255
    assert synapse.accumulate(s).reshape(-1)[worst] == 255 * synapse.weight_sum
    assert np.abs(synapse.accumulate(spikes_for(shape))).max() <= 255 * synapse.weight_sum


def test_weights_by_hand() -> None:
    dense = Dense(weight=np.array([[1, -2, 3], [4, 5, -6]]))
    assert (dense.num_weights, dense.weight_sum, dense.is_float) == (6, 15.0, False)
    assert (SumPool(kernel_size=(2, 3)).num_weights, SumPool(kernel_size=(2, 3)).weight_sum) == (0, 6.0)
    assert (Relay().num_weights, Relay().weight_sum) == (0, 1.0)
    assert [
        synapse.is_float for synapse in (SumPool(kernel_size=(2, 2)), Relay(), Dense(weight=np.array([[0.5]])))
    ] == [
        None,
        None,
        True,
    ]
    assert Dense(weight=np.full((1, 3), -(2**40))).weight_sum == 3 * 2**40


def test_sums_by_hand() -> None:
    s = np.arange(1, 7).reshape(1, 1, 2, 3)
    assert Dense(weight=np.array([[1, 0, 0, 0, 0, -1]])).accumulate(s).tolist() == [[-5]]
    assert Conv(weight=np.array([[[[1, 10]]]])).accumulate(s).tolist() == [[[[21, 32], [54, 65]]]]  # not flipped
    assert SumPool(kernel_size=(2, 1)).accumulate(s).tolist() == [[[[5, 7, 9]]]]
    assert Relay().accumulate(s).tolist() == s.tolist()


def test_descriptions() -> None:
    conv = weights(4, 2, 3, 2)
    assert Dense(weight=weights(5, 7)).describe() == "dense 7 -> 5"
    assert Conv(weight=conv).describe() == "conv 3x2"
    assert (
        Conv(weight=conv, stride=(2, 1), dilation=(2, 2), groups=2).describe() == "conv 3x2 /2x1 dilation 2x2 groups 2"
    )
    assert SumPool(kernel_size=(2, 3)).describe() == "sum pool 2x3"
    assert Relay().describe() == "relay"


def test_extras_for_other_readers() -> None:
    found = Conv(weight=weights(4, 2, 3, 2), groups=2).stored_extras((4, 5, 5))
    assert (found["inChannels"], found["outChannels"], found["kernelSize"].tolist()) == (4, 4, [3, 2])
    assert Dense(weight=weights(5, 7)).stored_extras((7,)) == {"inFeatures": 7, "outFeatures": 5}
    assert SumPool(kernel_size=(2, 2)).stored_extras((1, 4, 4)) == {}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Dense, {"weight": [1, 2]}, "Dense.weight: expected shape (out, in), found (2,)"),
        (Dense, {"weight": [["a"]]}, "Dense.weight: expected a non-empty array of numbers, found <U1 of shape (1, 1)"),
        (
            Conv,
            {"weight": [[1, 2]]},
            "Conv.weight: expected shape (out, in/groups, height, width), found (1, 2)",
        ),
        (Conv, {"weight": weights(4, 1, 1, 1), "groups": 3}, "Conv.groups: 4 output channels do not divide by 3"),
        (Conv, {"weight": weights(4, 1, 1, 1), "groups": 0}, "Conv.groups: expected an integer of at least 1, found 0"),
        (
            Conv,
            {"weight": weights(1, 1, 1, 1), "stride": 0},
            "Conv.stride: expected one or two integers of at least 1, found 0",
        ),
        (
            Conv,
            {"weight": weights(1, 1, 1, 1), "padding": (0, -1)},
            "Conv.padding: expected one or two integers of at least 0, found (0, -1)",
        ),
        (
            Conv,
            {"weight": weights(1, 1, 1, 1), "dilation": 0},
            "Conv.dilation: expected one or two integers of at least 1, found 0",
        ),
        (
            SumPool,
            {"kernel_size": (2, 0)},
            "SumPool.kernel_size: expected one or two integers of at least 1, found (2, 0)",
        ),
    ],
)
def test_impossible_parameters(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        kind(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("synapse", "shape", "message"),
    [
        (Dense(weight=weights(2, 6)), (2, 4), "Dense: expected 6 inputs, found 8 (shape (2, 4))"),
        (Conv(weight=weights(2, 3, 2, 2)), (2, 4, 4), "Conv: expected 3 input channels, found 2"),
        (Conv(weight=weights(2, 3, 2, 2), groups=2), (3, 4, 4), "Conv: expected 6 input channels, found 3"),
        (Conv(weight=weights(2, 3, 2, 2)), (12,), "Conv: expected input (channels, height, width), found (12,)"),
        (Conv(weight=weights(2, 3, 2, 5)), (3, 4, 4), "Conv: window (2, 5) does not fit into input (3, 4, 4)"),
        (SumPool(kernel_size=(2, 2)), (4, 4), "SumPool: expected input (channels, height, width), found (4, 4)"),
        (
            SumPool(kernel_size=(2, 2), dilation=(4, 1)),
            (1, 4, 4),
            "SumPool: window (2, 2) does not fit into input (1, 4, 4)",
        ),
    ],
)
def test_shapes_that_do_not_fit(synapse: Synapse, shape: Shape, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        synapse.output_shape(shape)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", SYNAPSES.values())
def test_misspelt_parameters(kind: Any) -> None:
    with pytest.raises(TypeError, match="paddding"):
        kind(paddding=1)


def test_a_synapse_must_say_what_it_does() -> None:
    for call in (lambda s: s.weight_sum, lambda s: s.output_shape((1,)), lambda s: s.fan_out((1,))):
        with pytest.raises(NotImplementedError):
            call(Synapse())


def test_a_new_layer_type_gets_by_with_accumulate() -> None:
    class Doubled(Synapse):
        type_name = "doubled"

        def accumulate(self, s: np.ndarray) -> np.ndarray:
            return 2 * s

    s = spikes_for((2, 3))
    assert Doubled().blas((2, 3), np.dtype(np.float32))(s[0].astype(np.float32)).tolist() == (2 * s[0]).tolist()
    found = Doubled().torch(torch.float32, "cpu")(torch.tensor(s, dtype=torch.float32))
    assert (found.tolist(), found.dtype) == ((2 * s).tolist(), torch.float32)
    assert Doubled().describe() == "doubled"
    assert Doubled().stored_extras((2, 3)) == {}
