"""Exact sums: the kernels equal `accumulate`, in float32 only where that is exact, and so does every event form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from examples import DEVICES, EXAMPLE_SYNAPSES, INTEGER_SYNAPSES, weights

from lava_aug.core.layers import Conv, Dense, Shape, Synapse
from lava_aug.kernels import batches, samples
from lava_aug.kernels.batches import TorchKernel, largest_magnitude
from lava_aug.kernels.samples import SampleKernel

each_example = pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=lambda x: str(x)[:70])
each_integer = pytest.mark.parametrize(("synapse", "shape"), INTEGER_SYNAPSES, ids=lambda x: str(x)[:70])


def spikes_for(shape: Shape, largest: int, activity: float, batch: int = 3) -> np.ndarray:
    """Random coefficients of both signs, int64 ``(batch, *shape)``, of which about ``activity`` are not zero."""
    rng = np.random.default_rng(largest)
    size = (batch, *shape)
    return rng.integers(-largest, largest + 1, size) * (rng.random(size) < activity)


@each_integer
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("largest", [1, 7, 63, 64, 255, 2**15 - 1, 2**23 - 1])
def test_torch_kernels_are_exact(synapse: Synapse, shape: Shape, device: str, largest: int) -> None:
    s = spikes_for(shape, largest, 0.7)
    kernel = TorchKernel(synapse, torch.device(device))
    given_s = torch.tensor(s, dtype=torch.float32, device=device)
    for known in (None, float(largest)):
        found = kernel(given_s, known)
        assert np.array_equal(found.cpu().numpy(), synapse.accumulate(s))


@each_integer
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize(("largest", "activity"), [(1, 0.02), (255, 0.0), (255, 1.0), (2**15 - 1, 0.3)])
def test_sample_kernels_are_exact(synapse: Synapse, shape: Shape, dtype: type, largest: int, activity: float) -> None:
    kernel = SampleKernel(synapse, shape)
    for s in spikes_for(shape, largest, activity):
        assert np.array_equal(kernel(s.astype(dtype)), synapse.accumulate(s[None])[0])
        events = int(np.count_nonzero(s))
        assert np.array_equal(kernel(s.astype(dtype), largest, events), synapse.accumulate(s[None])[0])


@each_integer
def test_sample_kernels_are_exact_beyond_float32(synapse: Synapse, shape: Shape) -> None:
    kernel = SampleKernel(synapse, shape)
    for s in spikes_for(shape, 2**23 - 1, 0.9):
        assert np.array_equal(kernel(s.astype(np.int32)), synapse.accumulate(s[None])[0])


@each_example
def test_event_forms_equal_accumulate(synapse: Synapse, shape: Shape) -> None:
    form = samples.event_form(synapse, shape)
    for activity in (0.0, 0.1, 1.0):
        for s in spikes_for(shape, 255, activity):
            if form is not None:
                assert np.array_equal(form.kernel(s.astype(np.float32)), synapse.accumulate(s[None])[0])
                assert 0 < form.break_even < 1
            else:
                assert not isinstance(synapse, Conv)
                assert not isinstance(synapse, Dense) or len(synapse.output_shape(shape)) > 1


@each_integer
def test_largest_input_sum_is_a_bound(synapse: Synapse, shape: Shape) -> None:
    for activity in (0.0, 0.2, 1.0):
        s = spikes_for(shape, 255, activity)
        bound = batches.largest_input_sum(synapse, torch.tensor(s, dtype=torch.float32))
        weight: Any = getattr(synapse, "weight", None)
        magnitudes = synapse if weight is None else synapse.replace(weight=np.abs(weight.astype(np.int16)))
        most = magnitudes.accumulate(np.abs(s)).max()
        assert bound is None or bound * synapse.largest_weight >= most
        assert synapse.largest_weight == (1 if weight is None else np.abs(weight.astype(int)).max())


FORMS: list[tuple[Callable[[], Synapse], list[int], int]] = [
    (lambda: Dense(weight=np.ones((1, 3), int)), [2**23, 2**23 - 2, 1], 32),  # the sum is 2**24 - 1
    (lambda: Dense(weight=np.ones((1, 3), int)), [2**23, 2**23 - 1, 2], 64),  # float32 has no 2**24 + 1
    (lambda: Dense(weight=np.array([[1, 0, 127]])), [2**16, 2**16, 0], 32),
    (lambda: Dense(weight=np.array([[1, 0, 127]])), [2**17, 2**17, 2**17 + 1], 64),
    (lambda: Conv(weight=np.ones((1, 1, 1, 3), int)), [2**23, 2**23 - 2, 1], 32),
    (lambda: Conv(weight=np.ones((1, 1, 1, 3), int)), [2**23, 2**23 - 1, 2], 64),
]


@pytest.mark.parametrize(("make", "s", "bits"), FORMS)
def test_float64_where_float32_may_round(make: Callable[[], Synapse], s: list[int], bits: int) -> None:
    synapse = make()
    spikes = np.array(s).reshape((1, 1, 1, 3) if isinstance(synapse, Conv) else (1, 3))
    found = TorchKernel(synapse, torch.device("cpu"))(torch.tensor(spikes, dtype=torch.float32))
    assert found.to(torch.int64).tolist() == synapse.accumulate(spikes).tolist()
    assert found.dtype == {32: torch.float32, 64: torch.float64}[bits]


def test_float32_where_that_is_exact() -> None:
    kernel = TorchKernel(Dense(weight=weights(4, 64)), torch.device("cpu"))
    assert kernel(torch.full((1, 64), 255.0)).dtype == torch.float32
    assert kernel(torch.full((1, 64), 32767.0)).dtype == torch.float64
    sparse = torch.zeros(1, 64)
    sparse[0, 3] = 32767.0
    assert kernel(sparse).dtype == torch.float32  # a single spike is small enough


def test_largest_magnitude() -> None:
    assert largest_magnitude(torch.tensor([[-7.0, 3.0]])) == 7.0
    assert largest_magnitude(torch.tensor([0.0, 3.0])) == 3.0
