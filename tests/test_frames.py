"""Results as data frames: the numbers of outputs and comparisons, and what is said without pandas."""

import io
import sys
from typing import Any

import numpy as np
import pytest
from comparisons import example
from nets import small_net

import lava_aug as la

pd = pytest.importorskip("pandas")

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1])
COUNTS = ("events", "spike_sum", "synops", "saturated", "capped")


@pytest.fixture
def out() -> la.Output:
    return la.simulate(small_net(), (IMAGES, LABELS), 3)


def test_a_row_for_each_layer(out: la.Output) -> None:
    frame = out.to_dataframe()
    assert frame.index.name == "layer"
    assert list(frame.index) == ["input", "hidden", "out"]
    assert list(frame.columns) == ["neurons", *COUNTS]
    assert frame["neurons"].tolist() == [6, 4, 3]
    for field in COUNTS:
        for name in frame.index:
            counts = getattr(out, field).get(name)
            assert np.isnan(frame[field][name]) if counts is None else frame[field][name] == counts.sum() / 5
    summed = la.simulate(small_net(), IMAGES, 3, counts="sum")
    pd.testing.assert_frame_equal(summed.to_dataframe(), frame)


def test_a_row_for_each_step(out: la.Output) -> None:
    frame = out.to_dataframe("step")
    assert frame.index.tolist() == [1, 2, 3]
    assert frame["events"].tolist() == out.per_image("events").tolist()
    assert frame["accuracy"].tolist() == out.accuracy(LABELS).tolist()
    without = la.simulate(small_net(), IMAGES, 3, readouts="last")
    assert "accuracy" not in without.to_dataframe("step")
    given = without.to_dataframe("step", labels=LABELS)["accuracy"]
    assert np.isnan(given[1])
    assert given[3] == out.accuracy()[-1]


def test_a_row_for_each_image(out: la.Output) -> None:
    frame = out.to_dataframe(by="image")
    assert list(frame.columns) == ["steps", "label", "prediction", *COUNTS]
    assert frame["label"].tolist() == LABELS.tolist()
    assert frame["prediction"].tolist() == out.predictions[-1].tolist()
    assert frame["events"].tolist() == out.events["hidden"].sum(axis=0).tolist()
    assert frame["synops"].tolist() == (out.synops["hidden"] + out.synops["out"]).sum(axis=0).tolist()
    assert frame["steps"].tolist() == [3] * 5
    assert "label" not in la.simulate(small_net(), IMAGES).to_dataframe("image")


def test_comparisons_have_the_rows_of_their_csv() -> None:
    comparison = example(rows=2, layers=2, steps=4)
    frame = comparison.to_dataframe()
    pd.testing.assert_frame_equal(frame, pd.read_csv(io.StringIO(comparison.to_csv()), float_precision="round_trip"))
    assert len(frame) == 2 * 4


def test_what_is_refused(out: la.Output) -> None:
    unknown: Any = "neuron"
    with pytest.raises(la.InputError, match=r"^by: expected one of layer, step, image, found 'neuron'$"):
        out.to_dataframe(unknown)
    with pytest.raises(la.InputError, match=r"^labels: expected integers of shape \(5,\)"):
        out.to_dataframe("image", labels=[1, 2])
    with pytest.raises(la.InputError, match=r"^to_dataframe: counts are summed over the images"):
        la.simulate(small_net(), IMAGES, counts="sum").to_dataframe("image")


@pytest.mark.parametrize("make", [lambda out: out.to_dataframe(), lambda out: example().to_dataframe()])
def test_without_pandas_it_says_what_to_install(make: Any, out: la.Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(la.BackendError, match=r"pandas is not installed; pip install 'lava-aug\[pandas\]'"):
        make(out)
