"""Disables what makes torch's sums of products inexact, while any thread computes with integers in floats."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import torch

from lava_aug.core.shared import Shared

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
