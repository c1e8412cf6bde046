"""Images with labels from data sets, DataLoaders and iterables: used as arrays are, and read no earlier than needed."""

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import small_net
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import lava_aug as la
from lava_aug.conversion.calibration import labelled_images
from lava_aug.core.images import Payloads
from lava_aug.core.streams import Stream
from lava_aug.verification.differences import differences

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 6), np.uint8)
MAPS = RNG.integers(0, 256, (10, 2, 1, 3), np.uint8)
LABELS = np.arange(10) % 3


class Samples(Dataset[Any]):
    """(image, label), one by one, which counts what was read."""

    def __init__(self, images: Any = IMAGES, labels: Any = LABELS) -> None:
        self.images, self.labels, self.read = images, labels, 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return (self.images[index], int(self.labels[index]))


class Endless(IterableDataset[Any]):
    """Without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(IMAGES, LABELS.tolist(), strict=True))


def tensors() -> TensorDataset:
    return TensorDataset(torch.tensor(IMAGES), torch.tensor(LABELS))


LABELLED: dict[str, Callable[[], Any]] = {
    "pair of arrays": lambda: (IMAGES, LABELS),
    "data set": Samples,
    "data set of tensors": tensors,
    "part of a data set": lambda: Subset(Samples(), range(10)),
    "list of pairs": lambda: [Samples()[index] for index in range(10)],
    "DataLoader": lambda: DataLoader(tensors(), batch_size=4),
    "DataLoader without batches": lambda: DataLoader(tensors(), batch_size=None),
    "iterable data set": Endless,
    "DataLoader without length": lambda: DataLoader(Endless(), batch_size=3),
    "generator of batches": lambda: ((IMAGES[k : k + 3], LABELS[k : k + 3]) for k in range(0, 10, 3)),
    "more than labels": lambda: ((IMAGES[k : k + 5], LABELS[k : k + 5], "name") for k in (0, 5)),
}

WITHOUT: dict[str, Callable[[], Any]] = {
    "data set": lambda: TensorDataset(torch.tensor(IMAGES)),
    "DataLoader": lambda: DataLoader(torch.tensor(IMAGES), batch_size=4),  # pyright: ignore[reportArgumentType]
    "generator of batches": lambda: (IMAGES[k : k + 4] for k in (0, 4, 8)),
    "generator of images": lambda: iter(IMAGES),
    "targets that are no labels": lambda: TensorDataset(torch.tensor(IMAGES), torch.zeros(10, 2)),
}


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("kind", LABELLED)
def test_images_and_labels(kind: str, size: int) -> None:
    batches = list(Stream(LABELLED[kind](), "images", 1).batches(size))
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), IMAGES)
    assert [len(batch.images) for batch in batches] == [len(IMAGES[k : k + size]) for k in range(0, 10, size)]
    assert np.concatenate([batch.labels for batch in batches if batch.labels is not None]).tolist() == LABELS.tolist()


@pytest.mark.parametrize("kind", WITHOUT)
def test_images_without_labels(kind: str) -> None:
    images, labels = Stream(WITHOUT[kind](), "images", 1).all()
    assert np.array_equal(images, IMAGES)
    assert labels is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 8))
def test_how_they_come_makes_no_difference(sizes: list[int], size: int) -> None:
    ends = np.cumsum(sizes)
    images = np.arange(ends[-1] * 2).reshape(-1, 2)
    pieces = [(images[end - n : end], np.arange(end - n, end)) for n, end in zip(sizes, ends, strict=True)]
    found = list(Stream(iter(pieces), "images").batches(size))
    whole = list(Stream((images, np.arange(ends[-1])), "images").batches(size))
    for (one, one_labels), (other, other_labels) in zip(found, whole, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one_labels, other_labels)  # pyright: ignore[reportArgumentType]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 30))
def test_a_sample_is_some_of_the_images_however_they_come(sizes: list[int], most: int) -> None:
    """In order, with their labels, and the same ones for any size of batches."""
    total, ends = sum(sizes), np.cumsum(sizes)
    images = np.arange(total * 2).reshape(-1, 2)
    pieces = [(images[end - n : end], np.arange(end - n, end)) for n, end in zip(sizes, ends, strict=True)]
    found, labels = Stream(iter(pieces), "images").sample(most, 1 << 20)
    assert labels is not None
    assert np.array_equal(found, images[labels])
    assert len(set(labels)) == min(most, total)
    assert sorted(labels) == labels.tolist()
    singly, _ = Stream(DataLoader(TensorDataset(torch.tensor(images)), batch_size=1), "images").sample(most, 1 << 20)
    assert np.array_equal(found, singly)


def test_every_image_is_as_likely_as_any_other_in_a_sample() -> None:
    images = np.arange(20_000)[:, None]
    kept = Stream(iter(np.split(images, 200)), "images").sample(5_000, 1 << 20).images
    counts = np.histogram(kept, 20, (0, 20_000))[0]  # 250 expected in each, with a deviation of 14
    assert np.abs(counts / 250 - 1).max() < 0.25


def test_a_sample_takes_memory_for_what_it_keeps_alone() -> None:
    def batches() -> Iterator[Any]:
        for index in range(200):
            yield np.full((8, 1 << 14), index % 256, np.uint8)

    told: list[tuple[int, int]] = []
    tracemalloc.start()
    kept = Stream(batches(), "images").sample(1000, 20 << 14, lambda *counts: told.append(counts)).images
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.shape == (20, 1 << 14)
    assert peak < 200 * 8 * (1 << 14) / 4
    assert told[:2] == [(8, 8), (16, 16)]
    assert told[-1] == (1600, 1600)


def test_pictures_of_a_data_set() -> None:
    pictures = [(Image.fromarray(image), label) for image, label in zip(MAPS[:, 0], LABELS.tolist(), strict=True)]
    images, labels = Stream(pictures, "images", 3).all()
    assert np.array_equal(images, MAPS[:, :1])
    assert labels is not None
    assert labels.tolist() == LABELS.tolist()


# Whoever takes images


@pytest.mark.parametrize("kind", LABELLED)
def test_simulate_and_settle(kind: str) -> None:
    net = small_net()
    expected, settled = la.simulate(net, IMAGES, record=True), la.settle(net, IMAGES)
    out = la.simulate(net, LABELLED[kind](), record=True, batch_size=4)
    assert out.differences(expected) == []
    assert out.labels is not None
    assert out.labels.tolist() == LABELS.tolist()
    assert out.accuracy().tolist() == expected.accuracy(LABELS).tolist()
    assert out.to_dict()["accuracy"] == expected.to_dict(LABELS)["accuracy"]
    found = la.settle(net, LABELLED[kind](), batch_size=3)
    assert np.array_equal(found.v, settled.v)
    assert found.accuracy() == settled.accuracy(LABELS)


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_labels_they_have_to_be_given(kind: str) -> None:
    out, settled = la.simulate(small_net(), WITHOUT[kind]()), la.settle(small_net(), WITHOUT[kind]())
    assert out.labels is None
    for result in (out, settled):
        with pytest.raises(la.InputError, match=r"^labels: expected the true classes, as the images came without"):
            result.accuracy()
    assert "accuracy" not in out.to_dict()
    assert settled.accuracy(LABELS) == out.accuracy(LABELS)[-1]


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))


@pytest.mark.parametrize("kind", ["data set", "DataLoader", "generator of batches"])
def test_conversion_and_what_examines_it(kind: str) -> None:
    net = la.convert(model(), LABELLED[kind]())
    assert differences(net, la.convert(model(), IMAGES)) == []
    assert la.plan(net, LABELLED[kind]()) == la.plan(net, IMAGES)
    assert la.check_loihi2(net, LABELLED[kind]()) == la.check_loihi2(net, IMAGES)
    assert la.diagnose(net, model(), LABELLED[kind]()) == la.diagnose(net, model(), IMAGES)
    assert la.verify(net, LABELLED[kind](), lava=False).to_dict() == la.verify(net, IMAGES, lava=False).to_dict()


@pytest.mark.parametrize("kind", ["pair of arrays", "data set", "DataLoader", "generator of batches"])
def test_tune_and_compare_take_the_labels_too(kind: str) -> None:
    options: dict[str, Any] = {"resolutions": [0.5, 0.25], "num_steps": 2}
    tuned = la.tune(model(), IMAGES, LABELS, **options)
    assert la.tune(model(), LABELLED[kind](), **options).to_dict() == tuned.to_dict()
    assert la.tune(model(), IMAGES, images=LABELLED[kind](), **options).to_dict() == tuned.to_dict()
    cases = [la.experiments.Case("aug", 2, {})]
    expected = la.experiments.compare(model(), IMAGES, IMAGES, LABELS, cases)
    found = la.experiments.compare(model(), LABELLED[kind](), LABELLED[kind](), cases=cases)
    assert found.ann_accuracy == expected.ann_accuracy
    assert found.rows[0].accuracy.tolist() == expected.rows[0].accuracy.tolist()
    assert found.rows[0].events.tolist() == expected.rows[0].events.tolist()


def test_labels_that_are_given_come_before_those_of_the_images() -> None:
    out = la.simulate(small_net(), (IMAGES, LABELS))
    assert out.accuracy(out.predictions[-1])[-1] == 1
    tuned = la.tune(model(), (IMAGES, LABELS), (LABELS + 1) % 3, resolutions=[0.25], num_steps=1)
    assert tuned.ann_accuracy == la.tune(model(), IMAGES, (LABELS + 1) % 3, resolutions=[0.25]).ann_accuracy


def test_shuffled_images_keep_their_labels() -> None:
    loader = DataLoader(tensors(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(1))
    x = Payloads(small_net(), loader)
    shown = np.concatenate(list(x.batches(4)))
    places = [IMAGES.tolist().index(image) for image in shown.tolist()]
    assert places != sorted(places)
    assert x.labels is not None
    assert x.labels.tolist() == LABELS[places].tolist()


# Reading


def test_no_more_is_read_than_is_needed() -> None:
    data, seen = Samples(), []
    la.simulate(small_net(), data, batch_size=2, progress=lambda done, total: seen.append((done, total, data.read)))
    assert seen == [(count, 10, count) for count in (2, 4, 6, 8, 10)]


@pytest.mark.parametrize(
    ("kind", "totals"),
    [("DataLoader", [10, 10, 10]), ("generator of batches", [4, 8, 10]), ("DataLoader without length", [4, 8, 10])],
)
def test_progress(kind: str, totals: list[int]) -> None:
    seen: list[tuple[int, int]] = []
    la.plan(small_net(), LABELLED[kind](), batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == list(zip([4, 8, 10], totals, strict=True))


def test_a_loader_that_drops_the_rest_says_so() -> None:
    seen: list[tuple[int, int]] = []
    loader = DataLoader(tensors(), batch_size=4, drop_last=True)
    out = la.simulate(small_net(), loader, batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 8)]
    assert out.num_images == 8


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: iter([]), "images: expected at least one image, found none"),
    "an empty data set": (lambda: Samples([], []), "images: expected at least one image, found none"),
    "numbers": (lambda: iter([1, 2]), "images: expected images, or batches of them, found a number"),
    "dictionaries": (
        lambda: iter([{"image": IMAGES}]),
        "images: expected an array, a tensor or a list of them, found dict",
    ),
    "another shape": (lambda: iter([IMAGES[:, :5]]), "images: expected shape (B, 6), found (2, 5)"),
    "two shapes": (
        lambda: iter([IMAGES[:1], IMAGES[:1, :5]]),
        "images: batches hold images of different shapes: [(5,), (6,)]",
    ),
    "two types": (
        lambda: iter([IMAGES[:1], IMAGES[:1] / 255]),
        "images: expected batches of one type, found float64 and uint8",
    ),
    "out of range": (
        lambda: iter([IMAGES / 255, IMAGES / 200]),
        "images: floating-point images must be in [0, 1], found ",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("function", [la.simulate, la.settle, la.plan])
def test_what_is_refused(function: Callable[..., Any], kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(la.InputError) as caught:
        function(small_net(), make(), batch_size=2)
    assert str(caught.value).startswith(message)


def test_a_long_stream_is_calibrated_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the sampled images alone; progress tells what is read, and then what is looked at."""
    monkeypatch.setattr("lava_aug.conversion.calibration.MOST_SAMPLED", 20)
    images, told = RNG.integers(0, 256, (300, 6), np.uint8), list[tuple[int, int]]()
    found = la.convert(
        model(), DataLoader(TensorDataset(torch.tensor(images)), 64), progress=lambda *counts: told.append(counts)
    )
    sampled = Stream(iter([images]), "images").sample(20, 1 << 30).images
    assert differences(found, la.convert(model(), sampled)) == []
    assert told == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300), (20, 20)]


def test_calibration_has_labels_too() -> None:
    images, labels, _ = labelled_images(DataLoader(tensors(), batch_size=3))
    assert np.array_equal(images, IMAGES)
    assert labels is not None
    assert labels.tolist() == LABELS.tolist()
