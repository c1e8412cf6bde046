"""Figures show the numbers that they are made of."""

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pytest

from lava_aug import plot
from lava_aug.compare import Curve
from lava_aug.diagnosis import Diagnosis, LayerError
from lava_aug.tuning import Point, Tuned


def test_layer_error() -> None:
    layers = (LayerError("a", 1.0, 0.3, 0.3, 0.1, 0.2, 0.05), LayerError("b", 2.0, 0.5, 0.2, 0.0, 0.4, 0.3))
    ax = plot.layer_error(Diagnosis(4, 10, layers))
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in ax.containers}  # pyright: ignore
    expected = {"clipping": [10, 0], "weights": [20, 40], "time": [5, 30]}
    assert {name: pytest.approx(values) for name, values in expected.items()} == heights
    assert list(np.asarray(ax.get_lines()[0].get_ydata())) == pytest.approx([30, 50])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
    assert ax.get_ylabel() == "error (% of activations' rms)"


@pytest.mark.parametrize(("objective", "x"), [("events", [10, 30]), ("steps", [1, 2])])
def test_pareto(objective: str, x: list[float]) -> None:
    class Net:
        resolution = 0.25

    numbers = ((1, 0.8, 10), (2, 0.9, 30), (3, 0.85, 60))
    points = tuple(Point(Net(), *found) for found in numbers)  # pyright: ignore[reportArgumentType]
    ax = plot.pareto(Tuned(0.92, 0.03, objective, points))  # pyright: ignore[reportArgumentType]
    front, best, ann, allowed = ax.get_lines()
    assert list(np.asarray(front.get_xdata())) == x
    assert list(np.asarray(front.get_ydata())) == pytest.approx([80, 90])
    assert list(np.asarray(best.get_xdata())) == x[1:]
    assert best.get_label() == "best: resolution 0.25, 2 steps"
    assert (ann.get_ydata()[0], allowed.get_ydata()[0]) == pytest.approx((92, 89))  # pyright: ignore
    assert len(ax.collections[0].get_offsets()) == 3  # pyright: ignore[reportArgumentType]


def test_more_curves_than_colours_stay_apart() -> None:
    rows = [Curve(f"row {index}", np.array([0.5, 0.9, 1.0]), np.array([10.0, 20.0, 30.0])) for index in range(9)]
    ax = plot.curves(rows, 0.95)
    lines, ann = ax.get_lines()[:-1], ax.get_lines()[-1]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
    assert [line.get_label() for line in lines] == [row.title for row in rows]
    assert list(np.asarray(lines[8].get_ydata())) == pytest.approx([50, 90, 100])
    assert list(np.asarray(lines[8].get_xdata())) == [1, 2, 3]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2"]
    assert np.asarray(ann.get_ydata()).tolist() == pytest.approx([95, 95])
    over_events = plot.curves(rows, 0.95, against="events")
    assert list(np.asarray(over_events.get_lines()[0].get_xdata())) == [10, 20, 30]
