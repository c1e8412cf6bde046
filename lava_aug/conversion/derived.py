"""More operations of ATen as others: order and products over axes, masks, kernels that depend on images."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

from lava_aug.conversion.decompositions import DEPENDENT, stands_for, variance

aten: Any = torch.ops.aten

Tensor = torch.Tensor

# Over axes


@stands_for(aten.amin)
def minima(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The negative maximum of the negative."""
    return -torch.amax(-x, dim, keepdim)


@stands_for(aten.min)
def minima_and_places(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The same; what takes the places finds nothing that knows them."""
    if dim is None:
        return NotImplemented
    made, places = torch.max(-x, dim, keepdim)
    return -made, places


@stands_for(aten.aminmax)
def both_extremes(x: Tensor, *, dim: Any = None, keepdim: bool = False) -> Any:
    """Minimum and maximum."""
    return NotImplemented if dim is None else (x.amin(dim, keepdim), x.amax(dim, keepdim))


@stands_for(aten.prod)
def product_of_all(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Of halves, and of their halves, so that few layers follow each other."""
    del dtype
    if dim is None:
        return NotImplemented
    parts = list(x.unbind(dim))
    while len(parts) > 1:
        pairs = [one * other for one, other in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(pairs) * 2 :]
    return parts[0].unsqueeze(dim) if keepdim else parts[0]


def _so_far(x: Tensor, dim: int, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Of pairs, of pairs of these, and so on: few layers follow each other."""
    made, apart = x.movedim(dim, 0), 1
    while apart < len(made):
        made = torch.cat([made[:apart], of(made[apart:], made[:-apart])])
        apart *= 2
    return made.movedim(0, dim)


@stands_for(aten.cumprod)
def products_so_far(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Products."""
    del dtype
    return _so_far(x, dim, torch.mul)


@stands_for(aten.logcumsumexp)
def log_of_sums_so_far(x: Tensor, dim: int) -> Tensor:
    """Sums of exponentials."""
    return _so_far(x, dim, torch.logaddexp)


@stands_for(aten.cummax)
def maxima_so_far(x: Tensor, dim: int) -> Any:
    """Maxima; what takes the places finds nothing that knows them."""
    return _so_far(x, dim, torch.maximum), _places(x, dim, x)


@stands_for(aten.cummin)
def minima_so_far(x: Tensor, dim: int) -> Any:
    """Minima."""
    return _so_far(x, dim, torch.minimum), _places(x, dim, x)


Exchanges = Iterator[tuple[list[int], list[int]]]
"""Places whose values are exchanged if they are the wrong way round, by steps."""


@stands_for(aten.sort)
def in_order(x: Tensor, dim: int = -1, descending: bool = False, *, stable: Any = None) -> Any:
    """Exchanges of two, by Batcher's network."""
    del stable
    made = _exchanged(x.movedim(dim, 0), _of_all(x.shape[dim]))
    made = (made.flip(0) if descending else made).movedim(0, dim)
    return made, _places(x, dim, made)


def _exchanged(x: Tensor, exchanges: Exchanges) -> Tensor:
    """``min = a - relu(a - b)``, ``max = b + relu(a - b)``, along the first axis."""
    for low, high in exchanges:
        rest = [place for place in range(len(x)) if place not in {*low, *high}]
        one, other, *kept = (x.index_select(0, torch.tensor(part)) for part in (low, high, rest) if part)
        above = (one - other).relu()
        x = torch.cat([one - above, other + above, *kept])
        x = x.index_select(0, torch.tensor([*low, *high, *rest]).argsort())
    return x


def _places(x: Tensor, dim: int, values: Tensor) -> Tensor:
    """Stands for places; who takes them is refused."""
    return torch.max(x, dim, True)[1].expand(values.shape)


def _of_all(count: int) -> Exchanges:
    """What sorts."""
    powers = range((count - 1).bit_length())
    for size, apart in ((1 << power, 1 << power - shift) for power in powers for shift in range(power + 1)):
        starts = (start for start in range(apart % size, count - apart, 2 * apart))
        low = [place for start in starts for place in range(start, min(start + apart, count - apart))]
        low = [place for place in low if place // (2 * size) == (place + apart) // (2 * size)]
        yield low, [place + apart for place in low]


def _of_two_halves(count: int) -> Exchanges:
    """What sorts a power of two of values that rise and then fall, or the other way round."""
    for apart in (count >> power for power in range(1, count.bit_length())):
        low = [place for place in range(count) if not place & apart]
        yield low, [place + apart for place in low]


@stands_for(aten.topk)
def largest_few(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Groups in order, and of two groups the larger half, until there is one."""
    del sorted
    made = (x if largest else -x).movedim(dim, 0)
    size = min(1 << (k - 1).bit_length(), len(made))
    count, left = divmod(len(made), size)
    groups = made[: count * size].reshape(count, size, *made.shape[1:]).transpose(0, 1)
    groups = _exchanged(groups, _of_all(size))
    while groups.shape[1] > 1:
        pairs = groups.shape[1] // 2
        best = _larger_half(groups[:, :pairs], groups[:, pairs : 2 * pairs])
        groups = torch.cat([best, groups[:, 2 * pairs :]], 1) if groups.shape[1] % 2 else best
    values = groups[:, 0]
    values = _larger_half(values, _exchanged(made[-left:], _of_all(left))) if left else values
    values = values.flip(0)[:k].movedim(0, dim)
    return values if largest else -values, _places(x, dim, values)


def _larger_half(one: Tensor, other: Tensor) -> Tensor:
    """Of values in order and as many, or fewer, others."""
    best = torch.maximum(one[: len(other)], other.flip(0))
    best = torch.cat([best, one[len(other) :]]) if len(other) < len(one) else best
    return _exchanged(best, _of_two_halves(len(one)))


@stands_for(aten.kthvalue)
def at_rank(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """One of them in order."""
    values, places = (part.narrow(dim, k - 1, 1) for part in in_order(x, dim))
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


@stands_for(aten.median)
def middle(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower one of two in the middle."""
    return NotImplemented if dim is None else at_rank(x, (x.shape[dim] + 1) // 2, dim, keepdim)


@stands_for(aten.var_mean)
def variance_and_mean(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    """Both."""
    dims = list(range(x.ndim)) if dim is None else list(dim)
    return variance(x, dims, correction=correction, keepdim=keepdim), x.mean(dims, keepdim)


@stands_for(aten.std_mean)
def deviation_and_mean(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    """Both."""
    spread, mean = variance_and_mean(x, dim, correction=correction, keepdim=keepdim)
    return spread.sqrt(), mean


# Of two values


@stands_for(aten.fmax)
def larger(x: Tensor, y: Tensor) -> Tensor:
    """Spikes stand for numbers."""
    return torch.maximum(x, y)


@stands_for(aten.fmin)
def smaller(x: Tensor, y: Tensor) -> Tensor:
    """Spikes stand for numbers."""
    return torch.minimum(x, y)


@stands_for(aten.atan2)
def angle(y: Tensor, x: Tensor) -> Tensor:
    """The arc tangent of the smaller one divided by the larger one, mirrored at the diagonal and at both axes."""
    wide, high = x.abs(), y.abs()
    made = (torch.minimum(wide, high) * torch.maximum(wide, high).reciprocal()).atan()
    made = made + (high > wide) * (math.pi / 2 - 2 * made)
    made = made + (x < 0) * (math.pi - 2 * made)
    return made - 2 * (y < 0) * made


@stands_for(aten.hypot)
def hypotenuse(x: Tensor, y: Tensor) -> Tensor:
    """``sqrt(x**2 + y**2)``."""
    return (x * x + y * y).sqrt()


@stands_for(aten.pow)
def power(x: Any, exponent: Any) -> Any:
    """``exp(exponent * log(x))`` of a positive base, where the exponent is not one number."""
    if not isinstance(exponent, Tensor) or exponent.numel() == 1 or not isinstance(x, Tensor):
        return NotImplemented
    return (exponent * x.log()).exp()


@stands_for(aten.embedding)
def embedded(weight: Tensor, places: Tensor, *_: Any) -> Tensor:
    """Rows of a table, each times ``relu(1 - |place - row|)``."""
    apart = places.unsqueeze(-1).to(weight.dtype) - torch.arange(len(weight))
    return F.linear((1 - apart.abs()).relu(), weight.T)


@stands_for(aten.logaddexp)
def log_of_sum(x: Tensor, y: Tensor) -> Tensor:
    """``max + log(1 + exp(-|x - y|))``."""
    return torch.maximum(x, y) + F.softplus(-(x - y).abs())


@stands_for(aten.where)
def where(condition: Tensor, x: Any = None, other: Any = None) -> Any:
    """``other + condition * (x - other)``."""
    return NotImplemented if x is None else other + condition * (x - other)


@stands_for(aten.masked_fill)
def masked(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The value where the mask, which depends on the images, says so."""
    return x + mask * (value - x)


DEPENDENT.update({aten.where: (0,), aten.masked_fill: (1,), aten.embedding: (1,)})


@stands_for(aten._trilinear)
def trilinear(
    x: Tensor, weight: Tensor, y: Tensor, one: Any, two: Any, three: Any, summed: Any, unroll: int = 1
) -> Tensor:
    """Of `torch.nn.Bilinear`: products, and their sums with weights."""
    del unroll
    for axis in one:
        x = x.unsqueeze(axis)
    for axis in two:
        weight = weight.unsqueeze(axis)
    for axis in three:
        y = y.unsqueeze(axis)
    return (x * y * weight).sum(summed)


@stands_for(aten._cdist_forward)
def distances(x: Tensor, y: Tensor, p: float, mode: Any) -> Tensor:
    """Between all rows of two matrices."""
    del mode
    return aten.linalg_vector_norm(x[..., :, None, :] - y[..., None, :, :], p, -1)


@stands_for(aten.linalg_cross)
def cross_product(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Of vectors with three elements."""
    return x.roll(-1, dim) * y.roll(1, dim) - x.roll(1, dim) * y.roll(-1, dim)


@stands_for(aten.convolution)
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    """With kernels that depend on the images, which are groups of one map: products with what lies in the windows."""
    del output_padding
    if transposed or weight.ndim != 4 or len(x) != 1:
        return NotImplemented
    window = weight.shape[2:]
    along = zip(x.shape[2:], window, stride, padding, dilation, strict=True)
    size = [(length + 2 * p - d * (k - 1) - 1) // s + 1 for length, k, s, p, d in along]
    windows = F.unfold(x, window, dilation, padding, stride).reshape(groups, -1, math.prod(size))
    made = torch.bmm(weight.reshape(groups, len(weight) // groups, -1), windows).reshape(1, len(weight), *size)
    return made if bias is None else made + bias.reshape(-1, 1, 1)


@stands_for(aten.grid_sampler_2d)
def sampled(x: Tensor, grid: Tensor, mode: int, outside: int, corners: bool) -> Any:
    """Between places that depend on the images, bilinearly: weights of rows times weights of columns."""
    if mode != 0 or outside == REFLECTION:
        return NotImplemented
    images, channels, *size = x.shape
    rows, columns = (
        _near(grid[..., axis].reshape(images, -1, 1), length, outside == BORDER, corners)
        for axis, length in zip((1, 0), size, strict=True)
    )
    weights = (rows[..., None] * columns[..., None, :]).reshape(images, -1, math.prod(size))
    made = torch.bmm(x.reshape(images, channels, -1), weights.transpose(1, 2))
    return made.reshape(images, channels, *grid.shape[1:3])


@stands_for("torchvision.deform_conv2d")
def deformable(x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *options: Any) -> Any:
    """A convolution of what lies at places that depend on the images, between which it is bilinear."""
    sizes, groups, offset_groups, use_mask = [*zip(*[iter(options[:6])] * 2, strict=True)], *options[6:]
    images, channels, *size = x.shape
    window, target = tuple(weight.shape[2:]), tuple(offset.shape[2:])
    offsets = offset.reshape(images, offset_groups, *window, 2, *target)
    weights = [
        (
            1 - (_regular(axis, window, target, sizes) + offsets[..., axis, :, :, None] - torch.arange(length)).abs()
        ).relu()
        for axis, length in enumerate(size)
    ]
    rows, columns = (each.reshape(images * offset_groups, -1, each.shape[-1]) for each in weights)
    near = (rows[..., None] * columns[..., None, :]).reshape(*rows.shape[:2], -1)
    parts = torch.bmm(x.reshape(images * offset_groups, -1, near.shape[-1]), near.transpose(1, 2))
    parts = parts.reshape(images, offset_groups, -1, math.prod(window), math.prod(target))
    if use_mask:
        parts = parts * mask.reshape(images, offset_groups, 1, math.prod(window), -1)
    found = parts.reshape(images, channels * math.prod(window), -1)
    return F.conv1d(found, weight.reshape(len(weight), -1, 1), bias, groups=groups).reshape(images, -1, *target)


def _regular(axis: int, window: Any, target: Any, sizes: Any) -> Tensor:
    """Places along an axis without offsets, ``(*window, *target, 1)``."""
    stride, padding, dilation = (pair[axis] for pair in sizes)
    column = [1] * 5
    inside, starts = list(column), list(column)
    inside[axis], starts[2 + axis] = window[axis], target[axis]
    places = torch.arange(window[axis]).reshape(inside) * dilation
    return places + torch.arange(target[axis]).reshape(starts) * stride - padding


BORDER, REFLECTION = 1, 2
"""What ATen calls two kinds of padding."""


def _near(at: Tensor, length: int, border: bool, corners: bool) -> Tensor:
    """How much each place along an axis weighs, from coordinates of -1 to 1."""
    place = (at + 1) * ((length - 1) / 2) if corners else (at + 1) * (length / 2) - 0.5
    place = place.clamp(0, length - 1) if border else place
    return (1 - (place - torch.arange(length)).abs()).relu()


DEPENDENT.update({aten.convolution: (1,), aten.grid_sampler_2d: (1,)})
