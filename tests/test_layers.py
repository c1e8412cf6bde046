"""Layer types: sums against PyTorch, every faster form against `accumulate`, counts by brute force, every error."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from examples import DEVICES, EXAMPLE_SYNAPSES, gather, padded, random_sparse, scale, sparse, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array

from lava_aug.conversion.composition import scale_columns, scale_rows
from lava_aug.core.errors import SpecError
from lava_aug.core.layers import SYNAPSES, Conv, ConvTranspose, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.kernels import batches, samples

each_example = pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=lambda x: str(x)[:70])


def spikes_for(shape: Shape, batch: int = 3, seed: int = 0) -> np.ndarray:
    """Random payloads of both signs, int64 ``(batch, *shape)``."""
    return np.random.default_rng(seed).integers(-255, 256, (batch, *shape))


def jacobian(synapse: Synapse, shape: Shape) -> np.ndarray:
    """``accumulate`` as a matrix: ``(inputs, outputs)``, a row for each input neuron's unit spike."""
    size = math.prod(shape)
    return synapse.accumulate(np.eye(size, dtype=np.int64).reshape(size, *shape)).reshape(size, -1)


def connected(synapse: Synapse, shape: Shape) -> np.ndarray:
    """Whether each input feeds each output, from impulses through random positive weights instead of its own."""
    weight = getattr(synapse, "weight", None)
    if weight is not None:
        synapse = synapse.replace(weight=np.random.default_rng(0).integers(1, 128, weight.shape))
    return jacobian(synapse, shape) != 0


def assert_connectivity(synapse: Synapse, shape: Shape) -> None:
    """Counts and matrix of a synapse's connectivity are those of `connected`."""
    found, expected = synapse.connectivity(shape), connected(synapse, shape)
    assert np.array_equal(found.matrix().toarray(), expected.T)
    assert np.array_equal(found.fan_out, expected.sum(1).reshape(shape))
    assert np.array_equal(found.fan_in, expected.sum(0).reshape(synapse.output_shape(shape)))
    assert found.count == found.fan_out.sum() == found.fan_in.sum() == found.matrix().nnz == expected.sum()
    assert found.fan_out.dtype == found.fan_in.dtype == found.matrix().dtype == np.int64


def torch_dense(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    weight = torch.tensor(synapse.weight).double()
    return F.linear(s if s.shape[-1] == weight.shape[1] else s.flatten(1), weight)


def as_maps(operation: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The operation on rows as maps of height 1, which gives rows again."""
    return lambda synapse, s: operation(synapse, s) if s.ndim == 4 else operation(synapse, s.unsqueeze(2)).squeeze(2)


@as_maps
def torch_conv(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    options = {name: getattr(synapse, name) for name in ("stride", "padding", "dilation", "groups")}
    return F.conv2d(s, torch.tensor(synapse.weight).double(), **options)


@as_maps
def torch_conv_transpose(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    options = {name: getattr(synapse, name) for name in names}
    return F.conv_transpose2d(s, torch.tensor(synapse.weight).double(), **options)


@as_maps
def torch_pool(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    if synapse.dilation == (1, 1):
        height, width = synapse.padding
        mean = F.avg_pool2d(F.pad(s, (width, width, height, height)), synapse.kernel_size, synapse.stride)
        return (mean * math.prod(synapse.kernel_size)).round()
    ones = torch.ones(s.shape[1], 1, *synapse.kernel_size, dtype=torch.float64)
    return F.conv2d(s, ones, None, synapse.stride, synapse.padding, synapse.dilation, groups=s.shape[1])


def torch_scale(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    scaled = torch.einsum("c,bc...->bc...", torch.tensor(synapse.weight).double(), s)
    behind = (synapse.channels or synapse.offset + len(synapse.weight)) - synapse.offset - len(synapse.weight)
    parts = [torch.zeros(len(s), count, *s.shape[2:]).double() for count in (synapse.offset, behind)]
    return torch.cat([parts[0], scaled, parts[1]], 1)


def torch_sparse(synapse: Any, s: torch.Tensor) -> torch.Tensor:
    matrix = torch.zeros(math.prod(synapse.shape), s[0].numel()).double()
    matrix[synapse.rows.astype(int), synapse.columns.astype(int)] = torch.tensor(synapse.weight).double()
    return F.linear(s.flatten(1), matrix).reshape(-1, *synapse.shape)


TORCH = {
    "dense": torch_dense,
    "conv": torch_conv,
    "conv_transpose": torch_conv_transpose,
    "pool": torch_pool,
    "relay": lambda synapse, s: s,
    "scale": torch_scale,
    "sparse": torch_sparse,
}
"""What types are in PyTorch that have a counterpart there."""


def test_every_registered_synapse_has_an_example() -> None:
    assert {type(synapse) for synapse, _ in EXAMPLE_SYNAPSES} == set(SYNAPSES.values())
    assert set(SYNAPSES) >= set(TORCH)


@pytest.mark.parametrize(
    ("synapse", "shape"), [each for each in EXAMPLE_SYNAPSES if each[0].type_name in TORCH], ids=lambda x: str(x)[:70]
)
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
    assert np.array_equal(samples.dense_form(conv, shape, np.dtype(np.float32))(s[0].astype(np.float32)), expected[0])
    assert_connectivity(conv, shape)


@settings(deadline=None)
@given(st.data(), sizes, sizes, st.tuples(st.integers(0, 3), st.integers(0, 3)), sizes, st.integers(1, 3))
def test_any_transposed_convolution_equals_torch(
    data: st.DataObject,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    inputs, per_group = groups * data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    extra = tuple(data.draw(st.integers(0, max(both) - 1)) for both in zip(stride, dilation, strict=True))
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": extra}
    conv = ConvTranspose(weight=weights(inputs, per_group, *window), groups=groups, **options)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    least = [max(1, -(-(1 + 2 * p - span) // s) + 1) for p, span, s in zip(padding, spans, stride, strict=True)]
    shape = (inputs, *(data.draw(st.integers(size, size + 3)) for size in least))
    s = spikes_for(shape, batch=2)
    expected = torch_conv_transpose(conv, torch.tensor(s).double()).numpy()
    assert np.array_equal(conv.accumulate(s), expected)
    assert conv.output_shape(shape) == expected.shape[1:]
    assert np.array_equal(samples.dense_form(conv, shape, np.dtype(np.float32))(s[0].astype(np.float32)), expected[0])
    assert np.array_equal(batches.batch_form(conv, torch.float32, "cpu")(torch.tensor(s).float()).numpy(), expected)
    assert_connectivity(conv, shape)
    assert np.abs(jacobian(conv, shape)).sum(0).max() <= conv.weight_sum


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99), st.booleans())
def test_any_sparse_matrix_equals_the_dense_one(
    outputs: int, inputs: int, density: float, seed: int, of_ones: bool
) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((outputs, inputs)) < density) * (1 if of_ones else rng.integers(-9, 10, (outputs, inputs)))
    matrix[-1, -1] = 1
    found = Sparse.from_scipy(matrix, (outputs,))
    s = spikes_for((inputs,), seed=seed)
    expected = Dense(weight=matrix).accumulate(s)
    assert np.array_equal(found.accumulate(s), expected)
    assert np.array_equal(
        samples.dense_form(found, (inputs,), np.dtype(np.float64))(s[1].astype(np.float64)), expected[1]
    )
    assert np.array_equal(batches.batch_form(found, torch.float32, "cpu")(torch.tensor(s).float()).numpy(), expected)
    assert found.weight_sum == Dense(weight=matrix).weight_sum
    assert np.array_equal(found.to_scipy(inputs).toarray(), matrix)
    assert found.is_gather == ((matrix != 0).sum(1).max() == 1 and set(np.unique(matrix)) <= {0, 1})


@each_example
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blas_equals_accumulate(synapse: Synapse, shape: Shape, dtype: type) -> None:
    form = samples.dense_form(synapse, shape, np.dtype(dtype))
    for s in spikes_for(shape):
        found = form(s.astype(dtype))
        assert np.array_equal(found, synapse.accumulate(s[None])[0])
        assert found.dtype == dtype


@each_example
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_torch_equals_accumulate(synapse: Synapse, shape: Shape, dtype: torch.dtype, device: str) -> None:
    s = spikes_for(shape)
    found = batches.batch_form(synapse, dtype, torch.device(device))(torch.tensor(s, dtype=dtype, device=device))
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
def test_connectivity_is_who_feeds_whom_whatever_the_weights(synapse: Synapse, shape: Shape) -> None:
    assert_connectivity(synapse, shape)


@each_example
def test_what_a_synapse_says_of_itself_is_what_it_does(synapse: Synapse, shape: Shape) -> None:
    matrix = jacobian(synapse, shape).T
    used, wide = set(np.unique(matrix[matrix != 0])), synapse.output_shape(shape)
    assert used <= set(np.unique(synapse.weights))
    assert set(np.unique(np.abs(synapse.weights))) - {0} <= {abs(weight) for weight in used}
    assert synapse.largest_weight == np.abs(matrix).max()
    assert synapse.multiplies == (not used <= {-1, 0, 1})
    assert np.array_equal(synapse.matrix(shape).toarray(), matrix)
    assert synapse.matrix(shape).dtype == np.float64
    if synapse.is_identity:
        assert np.array_equal(matrix, np.eye(math.prod(shape)))
    if synapse.keeps_place:
        counts = synapse.connectivity(shape)
        assert wide[1:] == shape[1:]
        assert (counts.fan_in.max(), counts.fan_out.max()) == (1, 1)
        places = counts.matrix().tocoo()
        assert np.array_equal(*(found % math.prod(shape[1:]) for found in (places.row, places.col)))
    if synapse.flattens and len(wide) == 1:
        assert np.array_equal(jacobian(synapse, (math.prod(shape),)).T, matrix)


@each_example
def test_scaled_rows_and_columns(synapse: Synapse, shape: Shape) -> None:
    """By any factors where a type holds that, by one for each channel wherever the first axis has them."""
    matrix, wide, rng = jacobian(synapse, shape).T.astype(float), synapse.output_shape(shape), np.random.default_rng(0)
    for scaling, size in ((scale_rows, wide), (scale_columns, shape)):
        every: list[Any] = [3, rng.integers(1, 9, (size[0], *[1] * (len(size) - 1))), rng.integers(1, 9, size)]
        for factors in every:
            full = np.broadcast_to(factors, size).reshape(-1)
            found = scaling(synapse, factors, shape)
            assert found is not None or (np.ndim(factors) and (factors.shape == size or synapse.flattens))
            if found is not None:
                expected = matrix * (full[:, None] if scaling is scale_rows else full)
                assert np.array_equal(jacobian(found, shape).T, expected)
                rows = found.channel_rows(shape)
                assert [np.abs(row).max(initial=0) for row in rows] == list(
                    np.abs(expected).reshape(wide[0], -1).max(axis=1)
                )


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
    assert ConvTranspose(weight=np.array([[[[1, 10]]]]), stride=(1, 2)).accumulate(s).tolist() == [
        [[[1, 10, 2, 20, 3, 30], [4, 40, 5, 50, 6, 60]]]
    ]
    assert scale([3], offset=1).accumulate(s).tolist() == [[[[0] * 3] * 2, [[3, 6, 9], [12, 15, 18]]]]
    assert gather(padded((1, 2, 3))).accumulate(s).tolist() == [[[[0] * 5, [1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]]]
    assert sparse([1, 2], [1, 1], [0, 5], (2,)).accumulate(s).tolist() == [[0, 13]]


def test_descriptions() -> None:
    conv = weights(4, 2, 3, 2)
    assert Dense(weight=weights(5, 7)).describe() == "dense 7 -> 5"
    assert Conv(weight=conv).describe() == "conv 3x2"
    assert (
        Conv(weight=conv, stride=(2, 1), dilation=(2, 2), groups=2).describe() == "conv 3x2 /2x1 dilation 2x2 groups 2"
    )
    assert SumPool(kernel_size=(2, 3)).describe() == "sum pool 2x3"
    assert ConvTranspose(weight=conv, stride=(2, 2), groups=2).describe() == "conv transpose 3x2 /2x2 groups 2"
    assert ConvTranspose(weight=conv).describe() == "conv transpose 3x2"
    assert scale([1, 2]).describe() == "scale"
    assert scale([1, 2], offset=3, channels=8).describe() == "scale to 3:5 of 8"
    assert gather(padded((1, 2, 3))).describe() == "gather"
    assert random_sparse((4,), 5, 0.9).describe() == "sparse"
    assert Relay().describe() == "relay"


def test_extras_for_other_readers() -> None:
    found = Conv(weight=weights(4, 2, 3, 2), groups=2).stored_extras((4, 5, 5))
    assert (found["inChannels"], found["outChannels"], found["kernelSize"].tolist()) == (4, 4, [3, 2])
    found = ConvTranspose(weight=weights(4, 2, 3, 2), groups=2).stored_extras((4, 5, 5))
    assert (found["inChannels"], found["outChannels"], found["kernelSize"].tolist()) == (4, 4, [3, 2])
    assert Dense(weight=weights(5, 7)).stored_extras((7,)) == {"inFeatures": 7, "outFeatures": 5}
    assert SumPool(kernel_size=(2, 2)).stored_extras((1, 4, 4)) == {}


NOT_SORTED = "Sparse: entries must be sorted by row, then column, and no place be there twice, but"


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
        (
            ConvTranspose,
            {"weight": [[1, 2]]},
            "ConvTranspose.weight: expected shape (in, out/groups, height, width), found (1, 2)",
        ),
        (
            ConvTranspose,
            {"weight": weights(4, 1, 1, 1), "groups": 3},
            "ConvTranspose.groups: 4 input channels do not divide by 3",
        ),
        (
            ConvTranspose,
            {"weight": weights(1, 1, 1, 1), "stride": (1, 2), "dilation": (3, 1), "output_padding": (2, 2)},
            "ConvTranspose.output_padding: expected less than stride or dilation, which are up to (3, 2), found (2, 2)",
        ),
        (Scale, {"weight": [[1, 2]]}, "Scale.weight: expected 1 dimensions, found shape (1, 2)"),
        (Scale, {"weight": [1], "offset": -1}, "Scale.offset: expected an integer of at least 0, found -1"),
        (
            Scale,
            {"weight": [1, 2], "offset": 3, "channels": 4},
            "Scale.channels: 2 channels from 3 on need at least 5, found 4",
        ),
        (
            Sparse,
            {"weight": [1, 2], "rows": [0], "columns": [0, 1, 2], "shape": (2,)},
            "Sparse: expected a row and a column for each weight, found 2 weights, 1 rows and 3 columns",
        ),
        (
            Sparse,
            {"weight": [1, 2], "rows": [0, 6], "columns": [0, 1], "shape": (3, 2)},
            "Sparse.rows: expected integers from 0 to 5, found int8 from 0 to 6",
        ),
        (
            Sparse,
            {"weight": [1], "rows": [-1], "columns": [0], "shape": (3, 2)},
            "Sparse.rows: expected integers from 0 to 5, found int8 from -1 to -1",
        ),
        (
            Sparse,
            {"weight": [1], "rows": [0], "columns": [0.5], "shape": (3, 2)},
            "Sparse.columns: expected integers of at least 0, found float32 from 0.5 to 0.5",
        ),
        (
            Sparse,
            {"weight": [1, 2, 3], "rows": [0, 1, 0], "columns": [0, 1, 1], "shape": (3,)},
            f"{NOT_SORTED} (0, 1) comes after (1, 1); Sparse.from_scipy sorts them",
        ),
        (
            Sparse,
            {"weight": [1, 2, 3], "rows": [0, 1, 1], "columns": [0, 2, 2], "shape": (3,)},
            f"{NOT_SORTED} (1, 2) comes after (1, 2); Sparse.from_scipy sorts them",
        ),
        (
            Sparse,
            {"weight": [1], "rows": [0], "columns": [0], "shape": ()},
            "Sparse.shape: expected a tuple of positive integers, found ()",
        ),
    ],
)
def test_impossible_parameters(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        kind(**options)
    assert str(caught.value) == message


NO_MAP = "expected input (channels, height, width) or (channels, length)"


@pytest.mark.parametrize(
    ("synapse", "shape", "message"),
    [
        (Dense(weight=weights(2, 6)), (2, 4), "Dense: expected 6 inputs, found 8 (shape (2, 4))"),
        (Conv(weight=weights(2, 3, 2, 2)), (2, 4, 4), "Conv: expected 3 input channels, found 2"),
        (Conv(weight=weights(2, 3, 2, 2), groups=2), (3, 4, 4), "Conv: expected 6 input channels, found 3"),
        (Conv(weight=weights(2, 3, 2, 2)), (12,), f"Conv: {NO_MAP}, found (12,)"),
        (Conv(weight=weights(2, 3, 2, 2)), (3, 9), "Conv: window (2, 2) does not fit into input (3, 1, 9)"),
        (Conv(weight=weights(2, 3, 1, 2)), (2, 9), "Conv: expected 3 input channels, found 2"),
        (Conv(weight=weights(2, 3, 2, 5)), (3, 4, 4), "Conv: window (2, 5) does not fit into input (3, 4, 4)"),
        (SumPool(kernel_size=(2, 2)), (1, 2, 4, 4), f"SumPool: {NO_MAP}, found (1, 2, 4, 4)"),
        (
            SumPool(kernel_size=(2, 2), dilation=(4, 1)),
            (1, 4, 4),
            "SumPool: window (2, 2) does not fit into input (1, 4, 4)",
        ),
        (
            ConvTranspose(weight=weights(4, 1, 2, 2), groups=2),
            (3, 4, 4),
            "ConvTranspose: expected 4 input channels, found 3",
        ),
        (ConvTranspose(weight=weights(4, 1, 2, 2)), (4,), f"ConvTranspose: {NO_MAP}, found (4,)"),
        (
            ConvTranspose(weight=weights(1, 1, 2, 2), padding=(0, 3)),
            (1, 4, 5),
            "ConvTranspose: padding (0, 3) leaves nothing of input (1, 4, 5)",
        ),
        (scale([1, 2]), (3, 4), "Scale: expected 2 input channels, found 3"),
        (
            sparse([1, 2], [0, 1], [7, 3], (2,)),
            (7,),
            "Sparse: expected at least 8 inputs, found 7 (shape (7,))",
        ),
    ],
)
def test_shapes_that_do_not_fit(synapse: Synapse, shape: Shape, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        synapse.output_shape(shape)
    assert str(caught.value) == message


def test_sparse_matrices_of_scipy() -> None:
    rows, columns, weight = [2, 0, 2, 2], [1, 3, 0, 1], [5, -1, 4, 2]
    found = Sparse.from_scipy(coo_array((weight, (rows, columns)), shape=(4, 6)), (2, 2))
    expected = sparse([-1, 4, 7], [0, 2, 2], [3, 0, 1], (2, 2))
    assert found == expected  # sorted, and what is there twice added up
    assert (found.num_weights, found.weight_sum, found.largest_weight, found.is_float) == (3, 11.0, 7.0, False)
    assert found.to_scipy(4).toarray().tolist() == [[0, 0, 0, -1], [0] * 4, [4, 7, 0, 0], [0] * 4]
    assert Sparse.from_scipy(np.array([[0.5, 0]]), (1,)) == sparse([0.5], [0], [0], (1,))
    for call, message in [
        (lambda: found.to_scipy(3), "Sparse: expected at least 4 inputs, found 3 (shape (3,))"),
        (
            lambda: Sparse.from_scipy(np.eye(4), (3,)),
            "Sparse: expected a matrix of 3 rows for (3,), found (4, 4)",
        ),
        (
            lambda: Sparse.from_scipy(np.zeros((3, 4)), (3,)),
            "Sparse.weight: expected a non-empty array of numbers, found float64 of shape (0,)",
        ),
    ]:
        with pytest.raises(SpecError) as caught:
            call()
        assert str(caught.value) == message


def test_the_sum_of_a_transposed_convolution_is_that_of_one_phase() -> None:
    weight = np.array([[[[1, -2, 4], [8, 16, 32]]]])
    assert ConvTranspose(weight=weight).weight_sum == 63
    assert ConvTranspose(weight=weight, stride=(2, 1)).weight_sum == 56  # the second row alone
    assert ConvTranspose(weight=weight, stride=(1, 2)).weight_sum == 45  # the outer columns
    assert ConvTranspose(weight=weight, stride=(2, 2)).weight_sum == 40
    assert ConvTranspose(weight=weight, stride=(2, 2), dilation=(2, 2)).weight_sum == 63


@pytest.mark.parametrize("kind", SYNAPSES.values())
def test_misspelt_parameters(kind: Any) -> None:
    with pytest.raises(TypeError, match="paddding"):
        kind(paddding=1)


def test_a_synapse_must_say_what_it_does() -> None:
    for call in (
        lambda s: s.weights,
        lambda s: s.weight_sum,
        lambda s: s.output_shape((1,)),
        lambda s: s.connectivity((1,)),
    ):
        with pytest.raises(NotImplementedError):
            call(Synapse())


def test_a_type_without_weights_of_its_own_is_scaled_as_a_sparse_one() -> None:
    class Turned(Synapse):
        type_name = "turned"

        def output_shape(self, input_shape: Shape) -> Shape:
            return input_shape

        def accumulate(self, s: np.ndarray) -> np.ndarray:
            return -2 * s[:, ::-1]

    found = scale_rows(Turned(), np.array([1, 3]).reshape(2, 1), (2, 700))
    assert isinstance(found, Sparse)
    assert found.accumulate(np.arange(1400).reshape(1, 2, 700)).tolist() == [
        [[-2 * (700 + k) for k in range(700)], [-6 * k for k in range(700)]]
    ]


def test_a_new_layer_type_gets_by_with_accumulate() -> None:
    class Doubled(Synapse):
        type_name = "doubled"

        def accumulate(self, s: np.ndarray) -> np.ndarray:
            return 2 * s

    s = spikes_for((2, 3))
    assert (
        samples.dense_form(Doubled(), (2, 3), np.dtype(np.float32))(s[0].astype(np.float32)).tolist()
        == (2 * s[0]).tolist()
    )
    found = batches.batch_form(Doubled(), torch.float32, "cpu")(torch.tensor(s, dtype=torch.float32))
    assert (found.tolist(), found.dtype) == ((2 * s).tolist(), torch.float32)
    assert Doubled().describe() == "doubled"
    assert Doubled().stored_extras((2, 3)) == {}
