"""Operations of ATen as others of which handlers know all: sums, functions of one value, products, maxima over axes."""

import math
from collections.abc import Callable
from typing import Any

import torch

from lava_aug.conversion.user_code import is_sequence

aten: Any = torch.ops.aten

Decomposition = Callable[..., Any]

DECOMPOSITIONS: dict[Any, Decomposition] = {}
"""Functions of tensors by the operation whose arguments they take, and whose results they give."""

OF_COMPLEX: dict[Any, Decomposition] = {}
"""The same for operations that take complex numbers."""


def stands_for(*operations: Any, of_complex: bool = False) -> Callable[[Decomposition], Decomposition]:
    """Enter a function for operations of ATen; it may give `NotImplemented`, and the operation is recorded as it is."""

    def enter(function: Decomposition) -> Decomposition:
        (OF_COMPLEX if of_complex else DECOMPOSITIONS).update(dict.fromkeys(operations, function))
        return function

    return enter


def _affine(x: torch.Tensor, weight: Any, bias: Any, shape: Any) -> torch.Tensor:
    """``weight * x + bias``, of which there may be none, in a shape that broadcasts to that of ``x``."""
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


LONGEST_ROW = 4096
"""Most squares that one neuron sums up: the more, the fewer bits are left for its factor."""


def _squares(x: torch.Tensor, dims: Any, keepdim: bool) -> torch.Tensor:
    """Sums of squares over some axes, as products of rows and columns: no single square needs a neuron."""
    axes: list[int] = sorted(d % x.ndim for d in (dims if is_sequence(dims) else [dims]))
    last = x.movedim(axes, list(range(x.ndim - len(axes), x.ndim)))
    kept = tuple(last.shape[: x.ndim - len(axes)])
    count = math.prod(last.shape[len(kept) :])
    parts = next(n for n in range(1, count + 1) if count % n == 0 and count // n <= LONGEST_ROW)
    rows = last.reshape(-1, 1, count // parts)
    sums = torch.bmm(rows, rows.mT).reshape(*kept, parts).sum(-1)
    return sums.reshape([1 if d in axes else size for d, size in enumerate(x.shape)]) if keepdim else sums


def _normalised(x: torch.Tensor, dims: Any, eps: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``(x - mean) / sqrt(variance + eps)``, the mean, and what it was multiplied by."""
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    count = math.prod(x.shape[d] for d in list[int](dims))
    factor = (_squares(centred, dims, True) / count + eps).rsqrt()
    return centred * factor, mean, factor


@stands_for(aten.native_layer_norm)
def layer_norm(x: torch.Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Over the last axes."""
    made, mean, factor = _normalised(x, list(range(-len(shape), 0)), eps)
    return _affine(made, weight, bias, shape), mean, factor


@stands_for(aten.native_group_norm)
def group_norm(
    x: torch.Tensor, weight: Any, bias: Any, images: int, channels: int, places: int, groups: int, eps: float
) -> Any:
    """Over the channels of each group and all places."""
    del places
    made, mean, factor = _normalised(x.reshape(images, groups, -1), [2], eps)
    made = _affine(made.reshape(x.shape), weight, bias, (channels, *[1] * (x.ndim - 2)))
    return made, mean.reshape(images, -1), factor.reshape(images, -1)


@stands_for(aten.native_batch_norm)
def instance_norm(
    x: torch.Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float
) -> Any:
    """Instance normalisation is batch normalisation of one image whose channels are those of all images."""
    del mean, variance, momentum
    if not training or x.shape[0] != 1:
        return NotImplemented
    made, middle, factor = _normalised(x, [0, *range(2, x.ndim)], eps)
    return _affine(made, weight, bias, (-1, *[1] * (x.ndim - 2))), middle.reshape(-1), factor.reshape(-1)


@stands_for(aten._softmax, *([aten._safe_softmax] if hasattr(aten, "_safe_softmax") else []))  # of newer versions
def softmax(x: torch.Tensor, dim: int, kind: Any = None) -> torch.Tensor:
    """``exp(x - max) / sum``, so that no exponential is large."""
    del kind
    shares = (x - x.amax(dim, keepdim=True)).exp()
    return shares * shares.sum(dim, keepdim=True).reciprocal()


@stands_for(aten._log_softmax)
def log_softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor:
    """``x - max - log(sum of exp(x - max))``."""
    del half_to_float
    below = x - x.amax(dim, keepdim=True)
    return below - below.exp().sum(dim, keepdim=True).log()


@stands_for(aten.logsumexp)
def logsumexp(x: torch.Tensor, dim: Any, keepdim: bool = False) -> torch.Tensor:
    """``max + log(sum of exp(x - max))``."""
    largest = x.amax(dim, keepdim=True)
    made = (x - largest).exp().sum(dim, keepdim=True).log() + largest
    return made if keepdim else made.squeeze(dim)


@stands_for(aten.var)
def variance(x: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> torch.Tensor:
    """The mean square of what is centred; divided by one less than the number, or by ``correction`` less."""
    dims = list(range(x.ndim)) if dim is None else list(dim)
    centred = x - x.mean(dims, keepdim=True)
    count = math.prod(x.shape[d] for d in dims)
    return _squares(centred, dims, keepdim) / (count - (1 if correction is None else correction))


@stands_for(aten.std)
def standard_deviation(
    x: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> torch.Tensor:
    """The square root of the variance."""
    return variance(x, dim, correction=correction, keepdim=keepdim).sqrt()


@stands_for(aten.linalg_vector_norm)
def vector_norm(x: torch.Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The root of the sum of powers, or the largest."""
    del dtype
    dims = list(range(x.ndim)) if dim is None else dim
    if ord == math.inf:
        return x.abs().amax(dims, keepdim=keepdim)
    if ord <= 0:
        return NotImplemented
    if ord == 1:
        return x.abs().sum(dims, keepdim=keepdim)
    if ord == 2:
        return _squares(x, dims, keepdim).sqrt()
    return (x.abs() ** ord).sum(dims, keepdim=keepdim) ** (1 / ord)


@stands_for(aten.norm)
def norm(x: torch.Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The same, under another name."""
    return vector_norm(x, 2 if p is None else p, dim or None, keepdim, dtype=dtype)


@stands_for(aten.rrelu_with_noise)
def leaky(x: torch.Tensor, noise: Any, lower: float = 1 / 8, upper: float = 1 / 3, *_: Any, **__: Any) -> torch.Tensor:
    """With the mean slope, in evaluation; newer versions say that the noise is written, which it is in training."""
    del noise
    return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)


@stands_for(aten.glu)
def gated(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """One half times the sigmoid of the other."""
    value, gate = x.chunk(2, dim)
    return value * gate.sigmoid()


@stands_for(aten.addcmul)
def added_product(x: torch.Tensor, one: torch.Tensor, other: torch.Tensor, *, value: float = 1) -> torch.Tensor:
    """``x + value * one * other``."""
    return x + one * other * value


@stands_for(aten.addcdiv)
def added_quotient(x: torch.Tensor, one: torch.Tensor, other: torch.Tensor, *, value: float = 1) -> torch.Tensor:
    """``x + value * one / other``."""
    return x + one / other * value


@stands_for(aten.lerp)
def between(x: torch.Tensor, end: torch.Tensor, weight: Any) -> torch.Tensor:
    """``x + weight * (end - x)``."""
    return x + weight * (end - x)


@stands_for(aten.baddbmm)
def added_products(x: torch.Tensor, one: torch.Tensor, other: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * x + alpha * one @ other``."""
    made = torch.bmm(one, other) * alpha
    return made + x * beta if beta else made


DEPENDENT = {aten.div: (1,)}
"""Which arguments must depend on the images; if they do not, handlers know the operation."""


@stands_for(aten.div)
def quotient(x: torch.Tensor, y: torch.Tensor, *, rounding_mode: Any = None) -> Any:
    """A product with the reciprocal."""
    made = x * y.reciprocal()
    return made if rounding_mode is None else {"floor": torch.floor, "trunc": torch.trunc}[rounding_mode](made)


@stands_for(aten._fused_moving_avg_obs_fq_helper)
def observed(
    x: torch.Tensor, observes: Any, rounds: Any, low: Any, high: Any, scale: Any, zero: Any, *more: Any
) -> Any:
    """A quantiser in training, with the scale that it has found so far: copies for evaluation do not observe."""
    _, quant_min, quant_max, _, by_row, *_ = (*more, False)
    if by_row:
        return NotImplemented
    del observes, low, high
    if not rounds:
        return x, torch.ones_like(x, dtype=torch.bool)
    return aten.fake_quantize_per_tensor_affine_cachemask(x, scale.item(), zero.item(), quant_min, quant_max)
