"""Ending early, held against a loop over images and steps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lava_aug.simulation.courses import Exit, early_exits, margins, margins_to_try


def test_margins_by_hand() -> None:
    logits = np.array([[[1.0, 4.0, 2.5], [3.0, 3.0, -1.0]], [[-5.0, -6.0, -9.0], [0.0, 0.25, 0.0]]])
    assert margins(logits).tolist() == [[1.5, 0.0], [1.0, 0.25]]


def test_exits_by_hand() -> None:
    found = np.array([[1.0, 3.0], [2.0, 1.0], [0.5, 4.0]])
    right = np.array([[False, True], [True, False], [False, False]])
    assert early_exits(found, right, [0.1, 2.0, 3.5, 9.0]) == (
        Exit(0.1, 1.0, 0.5),
        Exit(2.0, 1.5, 1.0),
        Exit(3.5, 3.0, 0.0),
        Exit(9.0, 3.0, 0.0),
    )


courses = st.tuples(st.integers(1, 6), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=st.floats(0, 4, width=32)), hnp.arrays(np.bool_, shape)
    )
)


@given(courses, st.lists(st.floats(0, 5), max_size=5))
def test_exits_are_those_of_a_loop(course: tuple[np.ndarray, np.ndarray], thresholds: list[float]) -> None:
    found, right = course
    for threshold, point in zip(thresholds, early_exits(found, right, thresholds), strict=True):
        last = len(found) - 1
        stops = [next((t for t in range(last) if float(image[t]) >= threshold), last) for image in found.T]
        assert point.margin == threshold
        assert point.mean_steps == pytest.approx(np.mean([t + 1 for t in stops]))
        assert point.accuracy == pytest.approx(np.mean([right[t, i] for i, t in enumerate(stops)]))


@given(courses)
def test_larger_margins_take_longer(course: tuple[np.ndarray, np.ndarray]) -> None:
    found, right = course
    tried = margins_to_try(found)
    points = early_exits(found, right, tried)
    assert np.isin(tried, found).all()
    assert tried[0] == found.min()
    assert points[0].mean_steps == 1
    assert points[0].accuracy == pytest.approx(right[0].mean())
    assert all(one.mean_steps <= other.mean_steps for one, other in itertools.pairwise(points))
    (never,) = early_exits(found, right, [10.0])
    assert never.mean_steps == len(found)
    assert never.accuracy == pytest.approx(right[-1].mean())
