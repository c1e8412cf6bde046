"""Calibration images from every source, balanced thresholds worked out by hand, percentiles of streams."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lava_aug.conversion.calibration import Calibration, Range, TopValues, as_intensity, calibration_images, measure
from lava_aug.conversion.tracing import trace
from lava_aug.core.errors import ConversionError

IMAGES = torch.rand(7, 1, 2, 3, generator=torch.Generator().manual_seed(0))
BYTES = torch.arange(42, dtype=torch.uint8).reshape(7, 1, 2, 3)


@st.composite
def streams(draw: st.DrawFn) -> list[torch.Tensor]:
    """Batches of values with ties, as ReLU outputs have them, split anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 300))
    values = rng.normal(size=count) * draw(st.sampled_from([1e-3, 1.0, 1e3]))
    values = draw(st.sampled_from([values, np.maximum(values, 0), np.rint(values), np.abs(values)]))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=6)))
    return list(torch.tensor(values, dtype=torch.float32).tensor_split(torch.tensor(cuts, dtype=torch.int64)))


@settings(deadline=None)
@given(stream=streams(), percentile=st.floats(0, 100) | st.sampled_from([50, 90, 99, 99.9, 100]))
def test_percentile_of_a_stream_is_numpys(stream: list[torch.Tensor], percentile: float) -> None:
    values = torch.cat(stream).double().numpy()
    top = TopValues(len(values), percentile)
    for batch in stream:
        top.add(batch)
        assert top.top.shape[1] <= top.size
    spread = np.ptp(values) + np.abs(values).max()
    assert top.percentile == pytest.approx(np.percentile(values, [percentile]), rel=1e-9, abs=1e-11 * spread + 1e-300)
    assert top.maximum == values.max()


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), percentile=st.floats(0, 100) | st.sampled_from([50, 99.9, 100]))
def test_streams_side_by_side(seed: int, percentile: float) -> None:
    values = np.random.default_rng(seed).normal(size=(3, 4, 17)).astype(np.float32)
    top = TopValues(51, percentile, streams=4)
    for batch in values:
        top.add(torch.tensor(batch))
    expected = np.percentile(values.transpose(1, 0, 2).reshape(4, -1).astype(np.float64), percentile, axis=1)
    np.testing.assert_allclose(top.percentile, expected, rtol=1e-9, atol=1e-9)
    assert top.maximum.tolist() == values.max((0, 2)).tolist()


@pytest.mark.parametrize(("percentile", "size"), [(100, 1), (99.9, 2), (50, 501), (0, 1000)])
def test_only_values_above_the_percentile_are_kept(percentile: float, size: int) -> None:
    top = TopValues(1000, percentile)
    for start in range(0, 1000, 100):
        top.add(torch.arange(start, start + 100).reshape(10, 10))
    assert top.top.tolist() == [list(range(999, 999 - size, -1))]


@pytest.mark.parametrize(
    ("calibration", "expected"),
    [
        (IMAGES, IMAGES),
        (IMAGES.numpy(), IMAGES),
        (IMAGES.double(), IMAGES),
        (IMAGES.clone().requires_grad_(), IMAGES),
        (BYTES, BYTES),
        (BYTES.numpy(), BYTES),
        (list(IMAGES), IMAGES),
        (tuple(IMAGES.numpy()), IMAGES),
        (IMAGES.tolist(), IMAGES),
        (DataLoader(TensorDataset(IMAGES, torch.arange(7)), batch_size=3), IMAGES),
        (DataLoader(TensorDataset(IMAGES), batch_size=3), IMAGES),
        (DataLoader(IMAGES, batch_size=4), IMAGES),  # pyright: ignore[reportArgumentType]
        (DataLoader(BYTES, batch_size=7), BYTES),  # pyright: ignore[reportArgumentType]
        ((batch for batch in (IMAGES[:2], IMAGES[2:])), IMAGES),
    ],
)
def test_images_come_from(calibration: Any, expected: torch.Tensor) -> None:
    found = calibration_images(calibration).images
    assert (found.dtype == np.uint8) == (expected.dtype == torch.uint8)
    assert np.array_equal(found.astype(expected.numpy().dtype), expected.numpy())


def test_images_are_copied_in_batches_and_not_before(tmp_path: Path) -> None:
    """So that they may be larger than the memory, and models may compute in place."""
    source = IMAGES.numpy().copy()
    found = calibration_images(source).images
    assert np.shares_memory(found, source)
    as_intensity(found).zero_()
    assert np.array_equal(source, IMAGES.numpy())
    np.save(tmp_path / "x.npy", source)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(calibration_images(mapped).images, mapped)
    assert torch.equal(as_intensity(calibration_images(mapped).images), IMAGES)


def with_value(value: float) -> torch.Tensor:
    images = IMAGES.clone()
    images[3, 0, 1, 2] = value
    return images


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (with_value(np.nan), "calibration: found NaN or infinite values; images must be finite"),
        (with_value(np.inf), "calibration: found NaN or infinite values; images must be finite"),
        (
            torch.tensor([[-0.42, 2.8]]),
            "calibration: floating-point images must be in [0, 1], found -0.42 to 2.8; divide by the largest "
            "intensity; for a model of normalised images pass raw ones, and use convert(normalize=(mean, std))",
        ),
        (
            torch.tensor([[0.0, 255.0]]),
            "calibration: floating-point images must be in [0, 1], found 0 to 255; divide by the largest "
            "intensity; for a model of normalised images pass raw ones, and use convert(normalize=(mean, std))",
        ),
        (BYTES.long(), "calibration: expected uint8 or floating point in [0, 1], found int64"),
        (
            torch.empty(0, 1, 2, 3),
            "calibration: expected at least one image, found none; a few hundred are a good number",
        ),
        ([], "calibration: expected at least one image, found none; a few hundred are a good number"),
        (iter([]), "calibration: expected at least one image, found none; a few hundred are a good number"),
        (
            iter([torch.zeros(2, 1, 4, 5), torch.zeros(2, 1, 3, 5)]),
            "calibration: batches hold images of different shapes: [(1, 3, 5), (1, 4, 5)]",
        ),
        (5, "calibration: expected a tensor, an array or a DataLoader, found 5"),
        (None, "calibration: expected an array, a tensor or a list of them, found NoneType"),
        ("mnist", "calibration: expected a tensor, an array or a DataLoader, found 'mnist'"),
        (torch.zeros(9), "calibration: expected shape (B, *image shape), found (9,)"),
        (
            [torch.zeros(2), torch.zeros(3)],
            "calibration: expected an array or tensor: all input arrays must have the same shape",
        ),
    ],
)
def test_unusable_images_are_refused(calibration: Any, message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        calibration_images(calibration)
    assert str(caught.value).startswith(message)


def test_an_empty_data_loader_is_refused() -> None:
    loader = DataLoader(TensorDataset(IMAGES), batch_size=8, drop_last=True)
    with pytest.raises(ConversionError, match="expected at least one image, found none"):
        calibration_images(loader)


def test_intensity() -> None:
    assert as_intensity(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert torch.equal(as_intensity(IMAGES.numpy()), IMAGES)
    assert torch.equal(as_intensity(IMAGES.double().numpy()), IMAGES)


def tiny() -> nn.Sequential:
    """Outputs of layer "0" on `TINY_IMAGES`: 0, 0.5, 1 and -2, -0.5, -1."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
    return model


TINY_IMAGES = torch.tensor([[0.0, 1.0], [0.5, 0.25], [1.0, 0.5]])


def ranges(percentile: float, images: torch.Tensor = TINY_IMAGES, *, relu: bool = True, **options: Any) -> Range:
    """Of the first layer of `tiny`, with its ReLU or without."""
    graph = trace(tiny() if relu else tiny()[:1], as_intensity(images.numpy()))
    options = {"per_channel": False, "batch_size": 100, **options}
    return measure(graph, Calibration(images.numpy(), percentile, **options))["0"]


@pytest.mark.parametrize(
    ("relu", "percentile", "expected", "maximum"),
    [
        (True, 100, 1.0, 1.0),
        (True, 90, 0.75, 1.0),  # of 0, 0, 0, 0, 0.5, 1: between the last two
        (True, 80, 0.5, 1.0),
        (True, 50, 0.0, 1.0),
        (False, 100, 2.0, 2.0),  # without the ReLU, the magnitudes: of 0, 0.5, 0.5, 1, 1, 2
        (False, 50, 0.75, 2.0),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_ranges_by_hand(relu: bool, percentile: float, expected: float, maximum: float, batch_size: int) -> None:
    found = ranges(percentile, relu=relu, batch_size=batch_size)
    assert found.percentile == pytest.approx([expected])
    assert found.maximum == pytest.approx([maximum])


def test_ranges_of_channels() -> None:
    found = ranges(50, relu=False, per_channel=True)  # of 0, 0.5, 1 and 0.5, 1, 2
    assert found.percentile == pytest.approx([0.5, 1.0])
    assert found.maximum == pytest.approx([1.0, 2.0])


def test_bytes_are_intensities() -> None:
    images = torch.tensor([[255, 51], [102, 255]], dtype=torch.uint8)
    assert ranges(100, images).percentile == pytest.approx([1.0])
    assert ranges(100, images, relu=False).percentile == pytest.approx([2.0])


def test_all_layers_are_measured() -> None:
    found = measure(trace(tiny(), TINY_IMAGES), Calibration(TINY_IMAGES.numpy(), 100, per_channel=False, batch_size=2))
    assert list(found) == ["0", "2"]


def test_progress_is_called_after_every_batch() -> None:
    calls: list[tuple[int, int]] = []
    ranges(100, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 3), (3, 3)]


def test_an_output_that_is_not_finite_names_the_layer() -> None:
    model = tiny()
    with torch.no_grad():
        model[0].weight.fill_(3e38)
    with pytest.raises(ConversionError) as caught:
        measure(trace(model, TINY_IMAGES), Calibration(TINY_IMAGES.numpy(), 100, per_channel=False, batch_size=2))
    assert str(caught.value) == "layer '0': output is NaN or infinite on calibration images"


def test_layers_that_are_not_the_model_are_noticed() -> None:
    graph = trace(tiny(), TINY_IMAGES)
    layers = [*graph.layers[:-1], dataclasses.replace(graph.layers[-1], bias=graph.layers[-1].bias + 1)]  # pyright: ignore
    with pytest.raises(ConversionError, match=r"differ from it by up to 1 on .*please report it with the model"):
        measure(dataclasses.replace(graph, layers=layers), Calibration(TINY_IMAGES.numpy(), 100, False, 2))


def test_a_model_that_changes_is_noticed() -> None:
    graph = trace(tiny(), TINY_IMAGES)
    with torch.no_grad():
        graph.module.get_parameter("2.bias").add_(1)
    with pytest.raises(ConversionError, match=r"by up to 1 on .*forward\(\) gives something else from call to call"):
        measure(graph, Calibration(TINY_IMAGES.numpy(), 100, False, 2))
