"""`Comparison`: its tables, and its way to JSON and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lava_aug.core.errors import InputError
from lava_aug.experiments.comparison import STEPS, Comparison
from lava_aug.experiments.rows import LayerStatistics, Row
from lava_aug.plot.drawing import powers_of_two
from lava_aug.simulation.courses import Exit


def row(title: str, accuracy: list[float]) -> Row:
    """Ten events, a hundred operations, and half a nanojoule in every step."""
    steps = np.arange(1, len(accuracy) + 1)
    layers = {
        "input": LayerStatistics(4, np.full(len(steps), 2.5), np.full(len(steps), 1 / 3), np.zeros(len(steps)), {}),
        "fc": LayerStatistics(3, np.ones(len(steps)), np.ones(len(steps)), np.ones(len(steps)), {-1: 0.1, 12: 3.0}),
    }
    return Row(
        title=title,
        options={"method": "rate", "resolution": 1.0, "weight_bits": None},
        summary="a network",
        accuracy=np.array(accuracy),
        events=10.0 * steps,
        spike_sum=12.0 * steps,
        synops=100.0 * steps,
        energy=0.5 * steps,
        layers=layers,
        exits=(Exit(0.1, 1.7, 0.9),),
        overflows=3,
        seconds=0.1,
    )


def comparison(*rows: Row) -> Comparison:
    raster = {"fc": np.array([[0, 1, -2], [3, 0, 0]])}
    return Comparison("net", "digits", 0.9, 1234, 12.34, 10, rows, {"command": "x", "seed": None}, raster)


@pytest.mark.parametrize(
    ("accuracy", "goal", "first"),
    [
        ([0.5, 0.9, 0.9], 0.9, 2),
        ([0.9, 0.8, 0.9], 0.9, 3),
        ([0.9, 0.95, 0.9], 0.9, 1),
        ([0.9, 0.9, 0.8], 0.9, None),
    ],
)
def test_first_step_for_good(accuracy: list[float], goal: float, first: int | None) -> None:
    assert row("x", accuracy).first_step(goal) == first


def test_accuracies_and_costs() -> None:
    found = comparison(row("fast", [0.8955, 0.91]), row("slow", [0.1, 0.2, 0.3]))
    assert found.accuracies((1, 2, 3)).cells == [
        ["case", "1", "2", "3"],
        ["ANN", "90.00", "90.00", "90.00"],
        ["fast", "89.55", "91.00", "-"],
        ["slow", "10.00", "20.00", "30.00"],
    ]
    assert found.accuracies().head == ["case", "1", "2", "3"]
    assert found.costs().cells == [
        ["case", "steps*", "events*", "operations*", "energy* (nJ)"],
        ["ANN", "-", "-", "1,234", "12.3"],
        ["fast", "1", "10", "100", "0.5"],
        ["slow", "> 3", "-", "-", "-"],
    ]
    assert found.tables() == (found.accuracies(), found.costs())


def test_the_front_is_what_no_other_row_beats() -> None:
    found = comparison(row("fast", [0.8, 0.9]), row("slow", [0.7, 0.9, 0.95]))
    assert found.front() == [(10.0, 0.8, 1), (20.0, 0.9, 2), (30.0, 0.95, 3)]
    assert found.front("energy") == [(0.5, 0.8, 1), (1.0, 0.9, 2), (1.5, 0.95, 3)]


def test_powers_of_two_end_with_the_largest() -> None:
    assert [powers_of_two(n) for n in (1, 2, 3, 64)] == [(1,), (1, 2), (1, 2, 3), (*STEPS, 64)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_json_is_exact(accuracy: list[float]) -> None:
    written = json.dumps(comparison(row("x", accuracy)).to_dict(), allow_nan=False)
    found = Comparison.from_dict(json.loads(written))
    assert json.dumps(found.to_dict()) == written
    assert found.rows[0].accuracy.tolist() == accuracy
    assert found.rows[0].layers["fc"].coefficients == {-1: 0.1, 12: 3.0}
    assert found.rows[0].exits == (Exit(0.1, 1.7, 0.9),)
    assert found.raster["fc"].tolist() == [[0, 1, -2], [3, 0, 0]]
    assert found.configuration == {"command": "x", "seed": None}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: [],
        lambda d: {**d, "format": "other"},
        lambda d: {**d, "format_version": 2},
        lambda d: {k: v for k, v in d.items() if k != "rows"},
        lambda d: {**d, "rows": [{}]},
        lambda d: {**d, "raster": 1},
    ],
)
def test_other_things_are_refused(change: object) -> None:
    with pytest.raises(InputError, match=r"comparison: expected what Comparison\.to_dict gives"):
        Comparison.from_dict(change(comparison(row("x", [0.5])).to_dict()))  # pyright: ignore
