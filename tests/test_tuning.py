"""The search finds what trying everything finds; fronts and best points by hand."""

import numpy as np
import pytest
import torch
from float_graph import lively
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lava_aug as la
from lava_aug.experiments.tuning import Point, Tuned


def points(*found: tuple[int, float, float]) -> tuple[Point, ...]:
    """From (steps, accuracy, events); the network does not matter."""
    return tuple(Point(None, *numbers) for numbers in found)  # pyright: ignore[reportArgumentType]


FOUND = points((1, 0.80, 100), (2, 0.90, 210), (3, 0.95, 330), (1, 0.85, 150), (2, 0.95, 320), (3, 0.94, 480))


def numbers(found: tuple[Point, ...]) -> list[tuple[int, float, float]]:
    return [(p.num_steps, p.accuracy, p.events) for p in found]


def test_front_by_hand() -> None:
    tuned = Tuned(0.96, 5, "events", FOUND)
    assert numbers(tuned.front) == [(1, 0.80, 100), (1, 0.85, 150), (2, 0.90, 210), (2, 0.95, 320)]
    tuned = Tuned(0.96, 5, "steps", FOUND)
    assert numbers(tuned.front) == [(1, 0.85, 150), (2, 0.95, 320)]


@pytest.mark.parametrize(
    ("max_loss", "objective", "expected", "reached"),
    [
        (1, "events", (2, 0.95, 320), True),
        (1, "steps", (2, 0.95, 320), True),
        (6, "events", (2, 0.90, 210), True),
        (16, "events", (1, 0.80, 100), True),
        (11, "steps", (1, 0.85, 150), True),
        (0.5, "events", (3, 0.95, 330), False),
    ],
)
def test_best_by_hand(max_loss: float, objective: str, expected: tuple[int, float, float], reached: bool) -> None:
    tuned = Tuned(0.96, max_loss, objective, FOUND)  # pyright: ignore[reportArgumentType]
    assert numbers((tuned.best,)) == [expected]
    assert tuned.reached == reached


@given(
    found=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 20), st.integers(1, 50)), min_size=1, max_size=20),
    objective=st.sampled_from(["events", "steps"]),
)
def test_no_point_beats_the_front(found: list[tuple[int, int, int]], objective: str) -> None:
    tuned = Tuned(1.0, 0.0, objective, points(*found))  # pyright: ignore[reportArgumentType]

    def cost(p: Point) -> float:
        return p.events if objective == "events" else p.num_steps

    for point in tuned.points:
        assert any(p.accuracy >= point.accuracy and cost(p) <= cost(point) for p in tuned.front)
    for point in tuned.front:
        assert not any(p.accuracy > point.accuracy and cost(p) <= cost(point) for p in tuned.points)


def learned() -> tuple[nn.Module, torch.Tensor, np.ndarray]:
    """A model that is always right, on images that it has something to tell about."""
    model = lively(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 12), nn.ReLU(), nn.Linear(12, 5)),
        seed=2,
    )
    images = (torch.rand(60, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 255).round().to(torch.uint8)
    with torch.no_grad():
        labels = model(images / 255).argmax(1).numpy()
    return model, images, labels


def test_the_best_network_does_what_its_point_says() -> None:
    model, images, labels = learned()
    tuned = la.tune(model, images, labels, max_loss=5, resolutions=(1.0, 1 / 4, 1 / 16), num_steps=5)
    assert (tuned.ann_accuracy, len(tuned.points)) == (1.0, 15)
    out = la.simulate(tuned.network, images)
    assert out.num_steps == tuned.best.num_steps
    assert out.accuracy(labels)[-1] == tuned.best.accuracy >= 0.95
    assert out.events_per_image()[-1] == tuned.best.events
    cheaper = [p for p in tuned.points if p.events < tuned.best.events]
    assert all(p.accuracy < 0.95 for p in cheaper)


def test_layer_by_layer_is_never_dearer() -> None:
    model, images, labels = learned()
    options = {"max_loss": 5, "resolutions": (1 / 4, 1 / 8), "num_steps": 4}
    uniform = la.tune(model, images, labels, **options)
    tuned = la.tune(model, images, labels, per_layer=True, **options)
    assert tuned.best.accuracy >= 0.95
    assert tuned.best.events < uniform.best.events
    assert tuned.points[: len(uniform.points)] == uniform.points
    quanta = [layer.quantum for layer in tuned.network.layers[:-1]]
    plain = [layer.quantum for layer in uniform.network.layers[:-1]]
    ratios = [a / b for a, b in zip(quanta, plain, strict=True)]
    assert max(ratios) >= 2
    assert all(np.log2(r) == pytest.approx(np.round(np.log2(r))) for r in ratios)


def test_other_images_may_judge_and_progress_is_told() -> None:
    model, images, labels = learned()
    calls: list[tuple[str, int, int]] = []
    tuned = la.tune(
        model,
        images[:20],
        labels[20:],
        images=images[20:],
        resolutions=(1 / 2, 1 / 4),
        num_steps=2,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [("resolution 0.5", 1, 2), ("resolution 0.25", 2, 2)]
    net = la.convert(model, images[:20], resolution=1 / 4, num_steps=2)
    assert tuned.points[-1].accuracy == la.simulate(net, images[20:]).accuracy(labels[20:])[-1]


def test_as_text() -> None:
    model, images, labels = learned()
    tuned = la.tune(model, images, labels, resolutions=(1 / 4,), num_steps=2)
    lines = str(tuned).splitlines()
    assert lines[0] == "ANN 100.00 %, at most 0.5 points less, fewest events"
    assert lines[1].split() == ["resolution", "steps", "accuracy", "(%)", "events", "per", "image"]
    assert sum("best" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_loss": 101}, "max_loss: expected percentage points from 0 to 100, found 101"),
        ({"objective": "time"}, "objective: expected 'events' or 'steps', found 'time'"),
        ({"resolutions": ()}, "resolutions: expected at least one number, found none"),
        ({"labels": np.zeros(3, int)}, "labels: expected integers of shape (60,), one per image"),
    ],
)
def test_unusable_options(options: dict, message: str) -> None:
    model, images, labels = learned()
    with pytest.raises(la.InputError) as caught:
        la.tune(model, images, options.pop("labels", labels), **options)
    assert str(caught.value).startswith(message)


def test_more_steps_than_there_can_be() -> None:
    model, images, labels = learned()
    with pytest.raises(
        la.ConversionError, match=r"^num_steps: expected an integer from 1 to 65536, found 10000000000$"
    ):
        la.tune(model, images, labels, num_steps=10**10)
