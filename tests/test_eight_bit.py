"""Convolutions by 8-bit products: exact wherever they are used, and used only where they are exact."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lava_aug.core.layers import Conv
from lava_aug.kernels import batches, eight_bit
from lava_aug.kernels.batches import TorchKernel

CPU = torch.device("cpu")
needs_products = pytest.mark.skipif(not eight_bit.is_available(), reason="this torch has no 8-bit products")


def weights(*shape: int, low: int = -128, high: int = 127) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(low, high + 1, shape)


def spikes(shape: tuple[int, ...], largest: int, seed: int = 0) -> np.ndarray:
    s = np.random.default_rng(seed).integers(-largest, largest + 1, shape)
    s.flat[0], s.flat[-1] = largest, -largest
    return s


@needs_products
@settings(deadline=None, max_examples=60)
@given(
    outputs=st.integers(1, 40),
    inputs=st.integers(15, 40),
    window=st.tuples(st.integers(3, 5), st.integers(3, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    largest=st.integers(1, eight_bit.LARGEST),
    seed=st.integers(0, 99),
)
def test_exact_for_every_geometry(
    outputs: int, inputs: int, window: Any, stride: Any, padding: Any, dilation: Any, largest: int, seed: int
) -> None:
    conv = Conv(weight=weights(outputs, inputs, *window), stride=stride, padding=padding, dilation=dilation)
    s = spikes((2, inputs, 11, 10), largest, seed)
    form = batches.bounded_form(conv, CPU)
    assert form is not None
    if largest <= form.largest:
        found = form.kernel(torch.tensor(s, dtype=torch.float32), largest)
        assert found.dtype == torch.float32
        assert found.is_contiguous()
        assert np.array_equal(found.numpy(), conv.accumulate(s))


@needs_products
@pytest.mark.parametrize("weight", [-128, 127])
def test_largest_numbers_of_one_sign(weight: int) -> None:
    conv = Conv(weight=np.full((3, 64, 3, 3), weight), padding=(1, 1))
    form = batches.bounded_form(conv, CPU)
    assert form is not None
    assert form.largest == eight_bit.LARGEST
    for value in (form.largest, -form.largest):
        s = np.full((1, 64, 6, 6), value)
        assert np.array_equal(form.kernel(torch.tensor(s).float(), form.largest).numpy(), conv.accumulate(s))


@needs_products
def test_payloads_are_bounded_by_what_float32_holds() -> None:
    def largest(inputs: int) -> int:
        form = batches.bounded_form(Conv(weight=np.full((1, inputs, 1, 1), 128 - 1)), CPU)
        assert form is not None
        return form.largest

    assert largest(1000) == 63  # 127,000 * (63 + 63) <= 2**24
    assert largest(1100) == 57  # 139,700 * (57 + 63) <= 2**24 < 139,700 * (58 + 63)
    assert largest(9000) == 7
    assert largest(60_000) == 1
    assert largest(140_000) == 0


@needs_products
def test_larger_payloads_take_floats() -> None:
    conv = Conv(weight=weights(4, 64, 3, 3))
    kernel = TorchKernel(conv, CPU)
    for largest in (1, 63, 64, 300, 2**15, 3):
        s = spikes((2, 64, 5, 5), largest)
        assert np.array_equal(kernel(torch.tensor(s).float()).numpy(), conv.accumulate(s))


@needs_products
def test_rows_and_batches_of_changing_size() -> None:
    conv = Conv(weight=weights(8, 64, 1, 3), padding=(0, 1))
    kernel = TorchKernel(conv, CPU)
    for batch in (3, 1, 5):
        s = spikes((batch, 64, 9), 2, batch)
        assert np.array_equal(kernel(torch.tensor(s).float(), 2.0).numpy(), conv.accumulate(s))


@pytest.mark.parametrize(
    "conv",
    [
        Conv(weight=weights(8, 64, 3, 3).astype(np.float32)),
        Conv(weight=weights(8, 64, 3, 3, low=-129)),
        Conv(weight=np.full((8, 64, 3, 3), 128)),
        Conv(weight=weights(64, 32, 3, 3), groups=2),
        Conv(weight=weights(8, 3, 3, 3)),
    ],
    ids=["floating point", "beyond -128", "beyond 127", "groups", "few products"],
)
def test_others_have_no_such_form(conv: Conv) -> None:
    assert batches.bounded_form(conv, CPU) is None


def test_other_devices_and_builds_of_torch_have_no_such_form(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = weights(8, 64, 3, 3)
    assert not eight_bit.suits(weight, 1, torch.device("cuda"))
    monkeypatch.setattr(eight_bit, "_convolve", lambda *_: torch.zeros(1, 16, 4, 4))
    assert not eight_bit.is_available.__wrapped__()  # products that saturate, say
    onednn: Any = torch.ops.onednn
    monkeypatch.setattr(eight_bit, "_convolve", lambda *_: onednn.no_such_operation())
    assert not eight_bit.is_available.__wrapped__()
    monkeypatch.setattr(eight_bit, "is_available", lambda: False)
    assert not eight_bit.suits(weight, 1, CPU)
