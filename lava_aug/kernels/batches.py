"""A synapse's sum for a batch, in torch: its fast forms, and the choice among those that are exact.

Each form is `Synapse.accumulate` for spikes ``(B, *input_shape)``, registered by the exact class of the synapse, so
that a subclass with a sum of its own never gets its parent's form. `exact_arithmetic` disables what would make torch's
sums of products inexact, while any thread computes with integers in floats.
"""

import contextlib
import math
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Sparse, SumPool, Synapse
from lava_aug.core.network import Network
from lava_aug.core.sliding import Sliding, like, maps
from lava_aug.core.spec import entered
from lava_aug.kernels import eight_bit
from lava_aug.kernels.samples import ExactKernel
from lava_aug.kernels.threads import Shared

Device = torch.device | str
Kernel = Callable[[torch.Tensor], torch.Tensor]


class BoundedForm(NamedTuple):
    """A kernel that is exact for small payloads only, and faster than in float32.

    Attributes
    ----------
    kernel : callable
        Input currents in float32, for spikes ``(B, *input_shape)`` and their largest magnitude. The next call may
        overwrite them.
    largest : int
        Largest magnitude of a spike for which it is exact.
    """

    kernel: Callable[[torch.Tensor, float], torch.Tensor]
    largest: int


BATCH: dict[type[Synapse], Callable[[Any, torch.dtype, Device], Kernel]] = {}
BOUNDED: dict[type[Synapse], Callable[[Any, Device], BoundedForm | None]] = {}
INPUT_SUMS: dict[type[Synapse], Callable[[Any, torch.Tensor], torch.Tensor]] = {}


def batch_form(synapse: Synapse, dtype: torch.dtype, device: Device) -> Kernel:
    """The sum for a batch of number format ``dtype`` on ``device``."""
    return BATCH.get(type(synapse), _by_definition)(synapse, dtype, device)


def _by_definition(synapse: Synapse, dtype: torch.dtype, device: Device) -> Kernel:
    return lambda s: torch.as_tensor(synapse.accumulate(s.cpu().numpy()), device=device).to(dtype)


def bounded_form(synapse: Synapse, device: Device) -> BoundedForm | None:
    """The sum for a batch with payloads up to a bound; None if there is no such form."""
    return BOUNDED[type(synapse)](synapse, device) if type(synapse) in BOUNDED else None


def largest_input_sum(synapse: Synapse, s: torch.Tensor) -> float | None:
    """Bound on the sum of ``|s|`` over what arrives at one neuron; None if not known."""
    return INPUT_SUMS[type(synapse)](synapse, s.abs()).max().item() if type(synapse) in INPUT_SUMS else None


def _weight(synapse: Dense | Scale | Sparse | Conv | ConvTranspose, dtype: torch.dtype, device: Device) -> torch.Tensor:
    return torch.tensor(synapse.weight).to(device, dtype)


@entered(BATCH, Dense)
def _dense(dense: Dense, dtype: torch.dtype, device: Device) -> Kernel:
    weight = _weight(dense, dtype, device).T.contiguous()
    return lambda s: dense.summed_axis_last(s) @ weight


@entered(BATCH, Relay)
def _relay(relay: Relay, dtype: torch.dtype, device: Device) -> Kernel:
    return lambda s: s


@entered(BATCH, Scale)
def _scale(scale: Scale, dtype: torch.dtype, device: Device) -> Kernel:
    weight = _weight(scale, dtype, device)
    if scale.out_channels == len(weight):
        one = bool((scale.weight == 1).all())
        return lambda s: s if one else s * scale.shaped(weight, s.ndim - 1)

    def multiply(s: torch.Tensor) -> torch.Tensor:
        a = s.new_zeros((len(s), scale.out_channels, *s.shape[2:]))
        torch.mul(s, scale.shaped(weight, s.ndim - 1), out=a[:, scale.offset : scale.end])
        return a

    return multiply


@entered(BATCH, Sparse)
def _sparse(sparse: Sparse, dtype: torch.dtype, device: Device) -> Kernel:
    return _gather(sparse, device) if sparse.is_gather else _product(sparse, dtype, device)


def _gather(sparse: Sparse, device: Device) -> Kernel:
    rows, columns = (torch.tensor(indices, device=device) for indices in sparse.indices())
    size = math.prod(sparse.shape)

    def gather(s: torch.Tensor) -> torch.Tensor:
        taken = s.reshape(len(s), -1).index_select(1, columns)
        if len(rows) < size:
            taken = s.new_zeros((len(s), size)).index_copy_(1, rows, taken)
        return taken.reshape(len(s), *sparse.shape)

    return gather


def _product(sparse: Sparse, dtype: torch.dtype, device: Device) -> Kernel:
    indices = torch.tensor(np.stack(sparse.indices()), device=device)
    size, needed = math.prod(sparse.shape), int(sparse.columns.max()) + 1
    open_types = cast(Any, torch)  # of sparse tensors
    matrix: torch.Tensor = open_types.sparse_coo_tensor(
        indices, _weight(sparse, dtype, device), (size, needed), check_invariants=False, is_coalesced=True
    )

    def multiply(s: torch.Tensor) -> torch.Tensor:
        sums: torch.Tensor = open_types.sparse.mm(matrix, s.reshape(len(s), -1)[:, :needed].T.contiguous())
        return sums.T.contiguous().reshape(len(s), *sparse.shape)

    return multiply


@entered(BATCH, Conv)
def _conv(conv: Conv, dtype: torch.dtype, device: Device) -> Kernel:
    weight = _weight(conv, dtype, device)
    return lambda s: like(F.conv2d(maps(s), weight, None, *conv.geometry, conv.groups), s)


@entered(BATCH, SumPool)
def _sum_pool(pool: SumPool, dtype: torch.dtype, device: Device) -> Kernel:
    if pool.dilation == (1, 1) and all(2 * p <= k for p, k in zip(pool.padding, pool.window, strict=True)):
        return lambda s: like(F.avg_pool2d(maps(s), pool.window, pool.stride, pool.padding, divisor_override=1), s)
    return _by_definition(pool, dtype, device)


@entered(BATCH, ConvTranspose)
def _conv_transpose(conv: ConvTranspose, dtype: torch.dtype, device: Device) -> Kernel:
    weight = _weight(conv, dtype, device)
    return lambda s: like(_transposed(conv, maps(s), weight, conv.groups), s)


def _transposed(conv: ConvTranspose, s: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return F.conv_transpose2d(s, weight, None, conv.stride, conv.padding, conv.output_padding, groups, conv.dilation)


@entered(BOUNDED, Conv)
def _conv_bounded(conv: Conv, device: Device) -> BoundedForm | None:
    if not eight_bit.suits(conv.weight, conv.groups, device):
        return None
    convolve = eight_bit.EightBitConvolution(conv.weight, *conv.geometry)

    def accumulate(s: torch.Tensor, largest: float) -> torch.Tensor:
        return like(convolve(maps(s), largest), s)

    return BoundedForm(accumulate, convolve.largest)


@entered(INPUT_SUMS, Dense)
def _dense_sums(dense: Dense, s: torch.Tensor) -> torch.Tensor:
    return dense.summed_axis_last(s).sum(-1)


@entered(INPUT_SUMS, Conv)
def _conv_sums(conv: Conv, s: torch.Tensor) -> torch.Tensor:
    return F.conv2d(maps(s).sum(1, keepdim=True), _ones(conv, s), None, *conv.geometry)


@entered(INPUT_SUMS, ConvTranspose)
def _conv_transpose_sums(conv: ConvTranspose, s: torch.Tensor) -> torch.Tensor:
    return _transposed(conv, maps(s).sum(1, keepdim=True), _ones(conv, s), 1)


def _ones(synapse: Sliding, s: torch.Tensor) -> torch.Tensor:
    return torch.ones(1, 1, *synapse.window, dtype=s.dtype, device=s.device)


class TorchKernel(ExactKernel):
    """`Synapse.accumulate` for a batch, in torch: ``(B, *input_shape) -> (B, *output_shape)``.

    Gives float32, or float64 where that was needed for the sum; the next call may overwrite it.
    """

    def __init__(self, synapse: Synapse, device: torch.device) -> None:
        super().__init__(synapse)
        self.synapse, self.device = synapse, device
        self.forms: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}
        self.bounded = None if self.is_float else bounded_form(synapse, device)

    def __call__(self, s: torch.Tensor, largest: float | None = None) -> torch.Tensor:
        """Input current for spikes; ``largest`` is their largest magnitude, if it is known."""
        if self.bounded is not None:
            largest = largest_magnitude(s) if largest is None else largest
            if largest <= self.bounded.largest:
                return self.bounded.kernel(s, largest)
        bits = 32 if self.is_float or self._is_narrow(s, largest) else 64
        dtype = {32: torch.float32, 64: torch.float64}[bits]
        if bits not in self.forms:
            self.forms[bits] = batch_form(self.synapse, dtype, self.device)
        return self.forms[bits](s.to(dtype))

    def _is_narrow(self, s: torch.Tensor, largest: float | None) -> bool:
        largest = largest_magnitude(s) if largest is None else largest
        # "<", not "<=": the bound is a sum in float32 itself, which may have been rounded down to 2**24, but not below.
        return self.bits(largest) == 32 or _second_bound(self.synapse, s) < 1 << 24


def torch_kernels(net: Network, device: torch.device) -> dict[str, list[tuple[str, TorchKernel]]]:
    """The sources and kernels of every layer's connections, by its name."""
    return {layer.name: [(c.source, TorchKernel(c.synapse, device)) for c in layer.connections] for layer in net}


def _second_bound(synapse: Synapse, s: torch.Tensor) -> float:
    """``max|weight| * max over outputs of sum|s|``: often far below ``weight_sum * max|s|``, at the price of a look."""
    largest = largest_input_sum(synapse, s)
    return math.inf if largest is None else largest * synapse.largest_weight


def largest_magnitude(s: torch.Tensor) -> float:
    """``max|s|``."""
    low, high = s.aminmax()
    return max(high.item(), -low.item())


Setting = tuple[Callable[[], Any], Callable[[Any], None], Any]
"""Getter, setter, and the value that is exact."""


@contextlib.contextmanager
def exact_arithmetic(device: torch.device) -> Generator[None, None, None]:
    """Forbid what makes sums on a device inexact: TF32 and bfloat16, and cuDNN's Winograd and Fourier convolutions.

    These are settings of the process. Threads that compute at the same time share them; the last one gives them back.
    """
    with _PRODUCTS, contextlib.nullcontext() if device.type == "cpu" else _CONVOLUTIONS:
        yield


@contextlib.contextmanager
def _at_exact_values(settings: Callable[[], Iterator[Setting]]) -> Generator[None, None, None]:
    with contextlib.ExitStack() as stack:
        for get, put, exact in settings():
            stack.callback(put, get())
            put(exact)
        yield


def _products() -> Iterator[Setting]:
    """How products of float32 are rounded.

    Torch 2.9 has a setting for each backend, and refuses to have them mixed with the older one.
    """
    name = "fp32_precision"
    if not hasattr(torch.backends, name):
        yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        return
    backends: Any = torch.backends
    for backend in (backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv):
        yield partial(getattr, backend, name), partial(setattr, backend, name), "ieee"


def _convolutions() -> Iterator[Setting]:
    """Whether cuDNN computes them."""
    cudnn = torch.backends.cudnn
    yield partial(getattr, cudnn, "enabled"), partial(setattr, cudnn, "enabled"), False


_PRODUCTS = Shared(lambda: _at_exact_values(_products))
_CONVOLUTIONS = Shared(lambda: _at_exact_values(_convolutions))
