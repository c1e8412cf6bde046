"""Operations with constant weights: linear layers, convolutions, batch normalisation, and all else that is linear."""

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from lava_aug.conversion.composition import along_channels
from lava_aug.conversion.operations import Step, Traced, converts
from lava_aug.conversion.products import matrix_product
from lava_aug.conversion.rearrangement import MIXES, constant, leading, ordered, plain
from lava_aug.conversion.volume_operations import convolution as convolution_of_volumes
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Sparse

aten: Any = torch.ops.aten


def numpy_of(tensor: torch.Tensor | None) -> Any:
    """A parameter in float64; None if there is none."""
    return None if tensor is None else tensor.detach().double().numpy()


# Linear layers


@converts(aten.mm)
def mm(step: Step, x: Any, other: Any) -> Traced:
    """A constant matrix from the right, or from the left."""
    if not isinstance(x, Traced):
        return _turned(mm(step, _turned(other), x.T))
    if isinstance(other, Traced):
        raise step.fail(NO_PRODUCT)
    return _along_last(step, x, numpy_of(other).T, None)


@converts(aten.addmm)
def addmm(step: Step, bias: Any, x: Any, other: Any, *, beta: float = 1, alpha: float = 1) -> Traced:
    """``beta * bias + alpha * x @ other``."""
    if isinstance(bias, Traced) or not isinstance(x, Traced) or isinstance(other, Traced):
        raise step.fail(NO_PRODUCT)
    offset = beta * numpy_of(bias)
    if offset.ndim > 1 and len(offset) > 1:
        raise step.fail(f"adds a bias of shape {offset.shape}; use one for each feature")
    return _along_last(step, x, alpha * numpy_of(other).T, np.broadcast_to(offset.reshape(-1), (other.shape[1],)))


@converts(aten.linear)
def linear(step: Step, x: Traced, weight: Any, bias: Any = None) -> Traced:
    """``x @ weight.T + bias`` along the last axis."""
    if isinstance(weight, Traced) or isinstance(bias, Traced):
        raise step.fail(NO_PRODUCT)
    return _along_last(step, x, numpy_of(weight), numpy_of(bias))


@converts(aten.bmm)
def bmm(step: Step, x: Any, other: Any) -> Traced:
    """A constant matrix, the same for all, or two signals."""
    if isinstance(x, Traced) and isinstance(other, Traced):
        return matrix_product(step, x, other)
    if not isinstance(x, Traced):
        return _turned(bmm(step, _turned(other), x.mT))
    if (other != other[:1]).any():
        return _by_matrices(step, x, numpy_of(other))
    return _along_last(step, x, numpy_of(other[0]).T, None)


def _by_matrices(step: Step, x: Traced, matrices: NDArray[Any]) -> Traced:
    """``x @ matrices`` of as many matrices ``(inner, columns)``: a sparse map, wherever the axis of images is."""
    count, inner, columns = matrices.shape
    matrices, kind = np.unique(matrices, axis=0, return_inverse=True)  # they may be repeated for each image
    images = x.images[..., 0].reshape(-1)
    order = images.argsort(stable=True).reshape(step.batch, -1)  # of each image, its rows
    which = kind.reshape(-1)[order.div(x.places.shape[1], rounding_mode="floor").numpy()]
    elements = x.elements.reshape(-1, inner)[order].numpy()
    mixed = (x.images != x.images[..., :1]).any()
    if mixed or (which != which[:1]).any() or (elements != elements[:1]).any():
        raise step.fail(f"{MIXES}: shape {tuple(x.places.shape)} for a batch of {step.batch}; keep the first axis")
    rows = order.shape[1]
    size = (rows, inner, columns)
    targets = np.broadcast_to(np.arange(rows * columns).reshape(rows, 1, columns), size)
    sources = np.broadcast_to(elements[0][:, :, None], size)
    weights = matrices[which[0]].reshape(-1)
    where, shape = (targets.reshape(-1), sources.reshape(-1)), (rows * columns, x.size)
    parts: Any = scipy.sparse.csr_matrix((weights, where), shape=shape)
    places = torch.empty(len(images), columns, dtype=torch.int64)
    places[order.reshape(-1)] = torch.arange(len(images) * columns).reshape(-1, columns)
    made = step.linear(x.signal, Sparse.from_map(parts, (rows * columns,)))
    return Traced(made, places.reshape(count, -1, columns))


NO_PRODUCT = f"{MIXES}: it multiplies matrices that both depend on the images; give each image a matrix of its own"


def _turned(x: Traced) -> Traced:
    return Traced(x.signal, x.places.mT)


def _along_last(step: Step, x: Traced, weight: NDArray[Any], bias: NDArray[Any] | None) -> Traced:
    """A dense layer for every place: a convolution of window 1 where channels lead in the signal."""
    features, dense = weight.shape[1], Dense(weight=weight)
    rows = x.size // features
    if x.places.shape[-1] != features or rows * features != x.size:
        raise step.fail(f"expected {features} features along the last axis, found shape {tuple(x.places.shape)}")
    if rows == 1:
        made = step.linear(ordered(step, x).signal, dense, bias)
        return Traced(made, _with_last(x, rows, len(weight), False))
    locals_ = x.elements.reshape(-1, features)
    if torch.equal(locals_, locals_[:, :1] + rows * torch.arange(features)) and bool((locals_[:, 0] < rows).all()):
        return _for_every_place(step, x, weight, bias, rows)
    x = ordered(step, x)
    view = (rows, features)
    signal = step.lowering.as_seen(dataclasses.replace(x.signal, view=view))
    made = step.linear(signal, dense, bias)
    return Traced(made, _with_last(x, rows, len(weight), False))


def _for_every_place(step: Step, x: Traced, weight: NDArray[Any], bias: NDArray[Any] | None, rows: int) -> Traced:
    signal, features = x.signal, weight.shape[1]
    if not (len(signal.shape) == 3 and signal.shape[0] == features):
        signal = step.lowering.as_seen(dataclasses.replace(signal, view=(features, 1, rows)))
    synapse = Conv(weight=weight[:, :, None, None])
    made = step.linear(signal, synapse, None if bias is None else along_channels(bias, (len(weight), 1, 1)))
    return Traced(made, _with_last(x, rows, len(weight), True))


def _with_last(x: Traced, rows: int, features: int, channels_lead: bool) -> torch.Tensor:
    """Places of a tensor with another last axis."""
    before, place, channels = x.images[..., :1] * rows * features, x.elements[..., :1], torch.arange(features)
    if channels_lead:
        return before + place + rows * channels
    return before + place.div(x.size // rows, rounding_mode="floor") * features + channels


# Convolutions


@converts(aten.convolution, aten._convolution)
def convolution(
    step: Step,
    x: Traced,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *_: Any,
) -> Traced:
    """A convolution, or a transposed one."""
    if isinstance(weight, Traced) or isinstance(bias, Traced):
        raise step.fail("convolves with weights that depend on the image")
    axes, kernel = weight.ndim - 2, numpy_of(weight)
    if axes > 2:
        along = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
        return convolution_of_volumes(step, x, kernel, numpy_of(bias), transposed, groups, **along)
    kernel = kernel[:, :, None] if axes == 1 else kernel
    margins, dilated = _on_map(padding, axes, 0), _on_map(dilation, axes, 1)
    options: dict[str, Any] = {"stride": _on_map(stride, axes, 1), "groups": groups}
    if transposed:
        options |= {"padding": margins, "dilation": dilated, "output_padding": _on_map(output_padding, axes, 0)}
        synapse: Any = ConvTranspose(weight=kernel, **options)
    else:
        if x.inner is not None and x.places.ndim == axes + 2:
            x, around = x.inner
            around = [(p + before, p + after) for p, (before, after) in zip(margins[-axes:], around, strict=True)]
            kernel, margins, dilated = _symmetric(kernel, [(0, 0)] * (2 - axes) + around, dilated)
        synapse = Conv(weight=kernel, padding=margins, dilation=dilated, **options)
    signal = step.lowering.as_seen(leading(step, x))
    offset = None if bias is None else along_channels(numpy_of(bias), synapse.output_shape(signal.shape))
    return plain(step.linear(signal, synapse, offset), step.batch, step.shape[1:])


def _on_map(value: Any, axes: int, filler: int) -> Any:
    """An option of a convolution along so many axes as (height, width)."""
    along = tuple(value) * axes if len(value) == 1 else tuple(value)
    return along if axes == 2 else (filler, *along)


def _symmetric(weight: NDArray[Any], padding: list[tuple[int, int]], dilation: Any) -> tuple[NDArray[Any], Any, Any]:
    """Weight, padding and dilation of the same convolution, with as much padding before as behind.

    Zeros are put around the kernel instead. Each of them moves a border of the window by the dilation; where that is
    too much, the kernel is dilated with zeros first.
    """
    steps = list(dilation)
    for axis, (before, after) in enumerate(padding):
        if (after - before) % steps[axis]:
            weight, steps[axis] = _dilated(weight, axis + 2, steps[axis]), 1
        zeros = (after - before) // steps[axis]
        margins = [(0, 0)] * weight.ndim
        margins[axis + 2] = (max(zeros, 0), max(-zeros, 0))
        weight = np.pad(weight, margins)
    return weight, tuple(map(max, padding)), tuple(steps)


def _dilated(weight: NDArray[Any], axis: int, dilation: int) -> NDArray[Any]:
    """A kernel with ``dilation - 1`` zeros between the elements of an axis."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    wide = np.zeros(shape)
    np.moveaxis(wide, axis, 0)[::dilation] = np.moveaxis(weight, axis, 0)
    return wide


# Batch normalisation

TAKES_BATCH = (
    "takes the statistics of the batch in evaluation too; pass training=self.training, and keep modules where eval() "
    "reaches them: as attributes, or in a torch.nn.ModuleList or ModuleDict"
)


@converts(aten.native_batch_norm, aten._native_batch_norm_legit, aten.cudnn_batch_norm)
def batch_norm(
    step: Step, x: Traced, weight: Any, bias: Any, mean: Any, variance: Any, training: Any, momentum: float, eps: float
) -> tuple[Any, ...]:
    """``x * scale + (shift - mean * scale)`` with ``scale = gamma / sqrt(var + eps)``, wherever it stands."""
    del momentum
    if mean is None or variance is None:
        raise step.fail("has no running statistics; train it with track_running_stats=True")
    if training:
        raise step.fail(TAKES_BATCH)
    gamma, beta, mean, variance = map(numpy_of, (weight, bias, mean, variance))
    scale = 1 / np.sqrt(variance + eps)
    scale = scale if gamma is None else scale * gamma
    shift = (0 if beta is None else beta) - mean * scale
    column = (-1, *[1] * (x.places.ndim - 2))
    factors, offset = (constant(step, torch.tensor(v).reshape(column), x) for v in (scale, shift))
    made = step.lowering.scaled(x.signal, factors, step.kept_name(x.signal), step.node)
    made = step.lowering.shifted(made, offset, made.name, step.node)
    return x.of(made), None, None


@converts(aten._native_batch_norm_legit_no_training)
def batch_norm_in_evaluation(step: Step, x: Traced, *given: Any) -> tuple[Any, ...]:
    """The same, under another name."""
    weight, bias, mean, variance, momentum, eps = given
    return batch_norm(step, x, weight, bias, mean, variance, False, momentum, eps)


# All that is linear

PROBED = 1 << 16
"""Largest number of elements of an image for which the matrix of an unknown operation is found by trying."""


def probed(step: Step, *_: Any, **__: Any) -> Any:
    """An operation that is affine in one tensor, as a sparse matrix, which is found by trying each element."""
    (x,) = step.tensors
    positions = torch.as_tensor(x.positions.reshape(-1))
    if x.size > PROBED:
        raise step.fail(f"is linear, but images of {x.size} elements are too large to find its matrix; shrink them")

    def of(values: torch.Tensor) -> torch.Tensor:
        """For ``(B, size)``, in the signal's order."""
        flat = torch.zeros(x.places.numel(), dtype=torch.float64)
        flat[positions] = values.reshape(-1)
        given = flat.reshape(x.places.shape)
        return _leads(step, step.evaluate(lambda _: given))

    offset = of(torch.zeros(step.batch, x.size, dtype=torch.float64))
    rows: list[NDArray[Any]] = []
    columns: list[NDArray[Any]] = []
    weights: list[NDArray[Any]] = []
    for start in range(0, x.size, step.batch):
        basis = torch.zeros(step.batch, x.size, dtype=torch.float64)
        count = min(step.batch, x.size - start)
        basis[torch.arange(count), start + torch.arange(count)] = 1
        for image, column in enumerate((of(basis) - offset)[:count].numpy()):
            (kept,) = np.nonzero(np.abs(column) > 1e-12)
            rows.append(kept)
            columns.append(np.full(len(kept), start + image))
            weights.append(column[kept])
    view = (offset.shape[1],) if step.shape[0] > step.batch else step.shape[1:]
    shape: Any = (offset.shape[1], x.size)
    where = np.concatenate(rows), np.concatenate(columns)
    matrix = scipy.sparse.csr_matrix((np.concatenate(weights), where), shape=shape)
    bias = offset[0].numpy().reshape(view or (1,))
    if _is_permutation(matrix) and not bias.any():  # such as of memory alone
        places = torch.as_tensor(matrix.indices).long() + x.size * torch.arange(step.batch)[:, None]
        return Traced(x.signal, places.reshape(step.shape))
    made = step.linear(x.signal, Sparse.from_map(matrix, view or (1,)), bias if bias.any() else None)
    made = plain(made, step.batch, view)
    return dataclasses.replace(made, places=made.places.reshape(step.shape))


def _is_permutation(matrix: Any) -> bool:
    size: int = matrix.shape[0]
    one_each = matrix.shape[1] == size and matrix.indptr.tolist() == list(range(size + 1))
    return one_each and bool((matrix.data == 1).all()) and len(set(matrix.indices.tolist())) == size


def _leads(step: Step, value: torch.Tensor) -> torch.Tensor:
    if not value.ndim or len(value) % step.batch:
        raise step.fail(f"{MIXES}: shape {tuple(value.shape)} for a batch of {step.batch}; keep the first axis")
    return value.reshape(step.batch, -1)


def is_affine(step: Step) -> bool:
    """Whether an operation of one tensor is affine in every image for itself, as far as random numbers show."""
    if len(step.tensors) != 1 or not isinstance(step.value, torch.Tensor):
        return False
    if not (step.value.is_floating_point() or step.value.is_complex()):
        return False
    (x,) = step.tensors
    generator = torch.Generator().manual_seed(0)
    one, other = (3 * torch.randn(x.places.shape, dtype=torch.float64, generator=generator) for _ in range(2))
    mixed = torch.where(x.places < x.size, one, other)  # the first image of the one, the others of the other
    try:
        zero, *parts = (
            _leads(step, step.evaluate(lambda _, values=values: values))
            for values in (torch.zeros_like(one), one, other, one - 2 * other, mixed)
        )
    except Exception:  # whatever an operation says of float64, or of other values
        return False
    first, second, combined, apart = (part - zero for part in parts)
    wrong = torch.cat([combined - first + 2 * second, apart[:1] - first[:1], apart[1:] - second[1:]])
    return bool(wrong.abs().max() <= 1e-9 * max(float(first.abs().max()), float(second.abs().max())))


@converts(
    *(aten.upsample_linear1d, aten.upsample_bilinear2d, aten.upsample_bicubic2d, aten._upsample_bilinear2d_aa),
    *(aten._upsample_bicubic2d_aa, aten.upsample_trilinear3d),
)
def interpolate(step: Step, x: Traced, *_: Any, **__: Any) -> Traced:
    """The same sparse matrix for every channel."""
    signal = leading(step, x)
    channels, *size = signal.view
    sparse: Any = scipy.sparse
    weights = sparse.identity(channels)
    for axis, count in enumerate(size):  # each by itself, of maps that are the same along the other
        column = (count, 1, *(count if other == axis else 1 for other in range(len(size))))
        basis = torch.eye(count, dtype=torch.float64).reshape(column).expand(count, 1, *size)
        made = step.operation.function(basis, *step.operation.args[1:], **step.operation.kwargs)
        along = made.movedim(axis + 2, 1).reshape(count, step.shape[axis + 2], -1)[..., 0].T.numpy()
        weights = sparse.kron(weights, sparse.csr_matrix(np.where(np.abs(along) < 1e-12, 0, along)), format="csr")
    return plain(step.linear(signal, Sparse.from_scipy(weights, step.shape[1:])), step.batch, step.shape[1:])
