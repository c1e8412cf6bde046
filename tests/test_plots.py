"""Figures show the numbers that they are made of."""

import matplotlib as mpl

mpl.use("agg")

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from comparisons import example
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from nets import small_net

import lava_aug as la
from lava_aug import plot
from lava_aug.core.errors import InputError
from lava_aug.core.layers import Dense, Relay
from lava_aug.core.network import Connection, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, ReadoutNeuron
from lava_aug.experiments.diagnosis import Diagnosis, LayerError
from lava_aug.experiments.rows import Curve, pareto_front
from lava_aug.experiments.tuning import Point, Tuned
from lava_aug.plot import drawing
from lava_aug.plot.activity import trace
from lava_aug.plot.networks import layer_places

DIAGNOSIS = Diagnosis(4, 10, (LayerError("a", 1.0, 0.3, 0.3, 0.1, 0.2, 0.05),))

TUNED = Tuned(0.9, 1.0, "steps", (Point(small_net(), 2, 0.85, 10.0),))

FINETUNED = la.Finetuned(
    small_net(),
    ann_accuracy=0.99,
    max_loss=0.5,
    objective="energy",
    history=tuple(la.experiments.Epoch(k, None, 0.98 + k / 500, 9 - k, 99, 9.5 - k, 0.3) for k in range(3)),
)
FIGURES: dict[str, tuple[Callable[..., Any], Any, str, str]] = {
    "steps": (plot.accuracy_over_steps, example(), "time steps per image", "accuracy (%)"),
    "events": (plot.accuracy_over_events, example(), "events per image (input left out)", "accuracy (%)"),
    "exits": (plot.early_exit, example(), "mean time steps per image", "accuracy (%)"),
    "pareto": (plot.pareto, example(), "events per image (input left out)", "accuracy (%)"),
    "search": (plot.search, TUNED, "time steps per image", "accuracy (%)"),
    "training": (plot.training, FINETUNED, "estimated energy per image (nJ)", "accuracy (%)"),
    "errors": (plot.layer_error, DIAGNOSIS, "layer", "error (% of activations' rms)"),
    "raster": (plot.raster, np.eye(4, 5, dtype=int), "time step", "neuron (index)"),
    "histogram": (plot.coefficient_histogram, {"a": {1: 2.5}}, "spike coefficient", "spikes per image"),
    "trace": (plot.neuron_trace, trace(AugmentedNeuron(vth=10), [25, -9, -30]), "time step", "potential v"),
    "error": (plot.error_over_steps, {"a": [1, 0.5, 0]}, "time step", "error (quanta)"),
    "bars": (plot.bars, {"a": 3.0, "b": 1.0}, "", ""),
    "network": (plot.network_graph, small_net(), "", "depth (synapses from the images, longest path)"),
}
"""Every public figure, what it draws, and how its axes are called."""


@pytest.fixture(autouse=True)
def no_figures_are_left() -> Any:
    """Close what a test has opened."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def lines_of(ax: Any) -> dict[str, tuple[list[float], list[float]]]:
    """The lines of a figure by their labels."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_take_axes_and_return_them(name: str) -> None:
    draw, found, xlabel, ylabel = FIGURES[name]
    ax = Figure().add_subplot()
    assert draw(found, ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == (xlabel, ylabel)
    new = draw(found)
    assert new is not ax
    assert new.get_ylabel() == ylabel
    new.figure.canvas.draw()


def test_every_figure_is_public_and_tested() -> None:
    assert la.plot is plot
    functions = {name for name in plot.__all__ if callable(getattr(plot, name))}
    assert functions == {draw.__name__ for draw, *_ in FIGURES.values()} | {"curves"}  # which the first two call


def test_rows_differ_without_colours_too() -> None:
    styles = [drawing.style_of(index) for index in range(18)]
    assert len({(style["marker"], style["linestyle"]) for style in styles}) == 18
    assert len({style["color"] for style in styles[:6]}) == 6


def test_accuracy_over_steps_and_events() -> None:
    comparison = example(steps=6)
    steps = lines_of(plot.accuracy_over_steps(comparison))
    events = lines_of(plot.accuracy_over_events(comparison))
    for row in comparison.rows:
        assert steps[row.title] == (list(range(1, 7)), list(100 * row.accuracy))
        assert events[row.title] == (list(row.events), list(100 * row.accuracy))
    assert steps["ANN"] == events["ANN"] == ([0, 1], [99, 99])
    ax = plot.accuracy_over_steps(comparison)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4", "6"]
    assert ax.get_lines()[0].get_markevery() == [0, 1, 3, 5]


def test_rows_without_events_have_a_place_on_no_logarithmic_axis() -> None:
    comparison = example(rows=1, steps=2)
    comparison.rows[0].events[:] = [0, 500]
    x, _ = lines_of(plot.accuracy_over_events(comparison))["AugMapping 1/8"]
    assert np.isnan(x[0])
    assert x[1] == 500
    comparison.rows[0].events[:] = 0
    plot.accuracy_over_events(comparison).figure.canvas.draw()
    plot.pareto(comparison).figure.canvas.draw()


@pytest.mark.parametrize(
    ("values", "major", "minor"),
    [([900, 9_000], ["1k"], ["2k", "5k"]), ([10, 2e6], ["10", "100", "1k", "10k", "100k", "1M"], [])],
)
def test_ticks_of_logarithmic_axes(values: list[float], major: list[str], minor: list[str]) -> None:
    ax = Figure().add_subplot()
    drawing.log_axis(ax, [0, *values])
    ax.set_xlim(*values)
    ax.figure.canvas.draw()  # pyright: ignore[reportAttributeAccessIssue]
    for expected, minor_ones in ((major, False), (minor, True)):
        labels = ax.get_xminorticklabels() if minor_ones else ax.get_xmajorticklabels()
        ticks = zip(ax.get_xticks(minor=minor_ones), labels, strict=True)
        texts = [label.get_text() for place, label in ticks if values[0] <= place <= values[1]]
        assert [text for text in texts if text] == expected


def test_early_exit_leaves_out_rows_without() -> None:
    lines = lines_of(plot.early_exit(example(rows=3)))
    assert list(lines) == ["AugMapping 1/8", "AugMapping 1/4", "ANN"]
    assert lines["AugMapping 1/4"] == ([2.5, 3.5, 5.0], [90.0, 95.0, 98.0])


@pytest.mark.parametrize("against", ["events", "energy"])
def test_pareto_of_a_comparison(against: Any) -> None:
    comparison = example(rows=2, steps=3)
    lines = lines_of(plot.pareto(comparison, against=against))
    points = [
        (cost, 100 * a) for row in comparison.rows for cost, a in zip(getattr(row, against), row.accuracy, strict=True)
    ]
    better = [p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)]
    assert list(zip(*lines["Pareto front"], strict=True)) == sorted(better)
    assert lines["AugMapping 1/4"][0] == list(getattr(comparison.rows[1], against))
    found = plot.pareto(comparison, against=against).texts
    assert {text.get_text() for text in found} <= {"1", "2", "3"}
    assert found


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))))
def test_no_point_beats_one_of_the_front(points: list[tuple[int, int, int]]) -> None:
    front = pareto_front(points, cost=lambda p: (p[0], p[2]), accuracy=lambda p: p[1])
    beaten = {p for p in points for q in points if q[0] <= p[0] and q[1] >= p[1] and (q[0] < p[0] or q[1] > p[1])}
    assert {p[:2] for p in front} == {p[:2] for p in set(points) - beaten}
    assert front == sorted(front)
    for point in front:  # of those that are equal otherwise, the one with the smaller second cost
        assert point[2] == min(p[2] for p in points if p[:2] == point[:2])


def test_error_over_steps() -> None:
    ax = plot.error_over_steps({"_a": [1, 0, 0.25, 0.2, 0.1], "b": [2]}, bound=[1, 0.5], unit="mV")
    found = lines_of(ax)
    np.testing.assert_array_equal(found["\u200b_a"], ([1, 2, 3, 4, 5], [1, np.nan, 0.25, 0.2, 0.1]))
    assert found["b"] == ([1], [2])
    assert found["bound"] == ([1, 2], [1, 0.5])
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylabel()) == ("log", "log", "error (mV)")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4", "5"]


def test_bars() -> None:
    ax = plot.bars({"first": 1234.5, "$": 0.5, "none": 0}, xlabel="time (s)")
    assert [bar.get_width() for bar in ax.patches] == [1234.5, 0.5, 0]  # pyright: ignore[reportAttributeAccessIssue]
    assert [text.get_text() for text in ax.texts] == ["1,234", "0.5", "0"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", r"\$", "none"]
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "time (s)"


def test_a_recorded_neuron_is_drawn_as_the_traced_one() -> None:
    """Of a Process: what it recorded, and its parameters."""
    neuron = AugmentedNeuron(vth=10, v0=3)
    course = trace(neuron, [[25], [-9], [-30]])
    recorded = {"v": course.v, "s_out": course.s, "vth": 10, "vth_lo": -1, "v0": 3, "overflow_out": np.zeros((3, 2))}
    traced = plot.neuron_trace(course)
    for found in (recorded, recorded | {"n": course.n}, recorded | {"peak": course.peak.ravel()}):
        ax = plot.neuron_trace(found, title="AUGIF")
        for mine, its in zip(ax.figure.axes, traced.figure.axes, strict=True):
            assert lines_of(mine) == lines_of(its)
            assert [text.get_text() for text in mine.texts] == [text.get_text() for text in its.texts]
    assert lines_of(traced)["v"] == ([0, 1, 1, 2, 2, 3, 3], [3, 28, 8, -1, 9, -21, -11])
    assert [text.get_text() for text in traced.texts] == ["+2", "-1", "-1"]


def test_a_recording_need_not_say_where_it_started() -> None:
    ax = plot.neuron_trace({"v": [4, 1], "s_out": [0, 1], "vth": 8})
    assert lines_of(ax)["v"] == ([1, 1, 2, 2], [4, 4, 9, 1])
    assert "vth_lo" not in lines_of(ax)
    assert ax.get_title() == ""


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"v": [1]}, r"expected v, s_out and vth, found \['v'\]; s_out, vth missing"),
        ({"v": np.zeros((3, 2)), "s_out": [0, 0, 0], "vth": 1}, r"v: expected one neuron, \(num_steps,\), found shape"),
        ({"v": [1, 2], "s_out": [0, 0, 0], "peak": [1, 2], "vth": 1}, "found 2 of v and 3 of s_out"),
    ],
)
def test_what_is_no_recording_of_one_neuron_is_refused(found: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot.neuron_trace(found)


def test_labels_are_taken_as_they_are() -> None:
    ax = Figure().add_subplot()
    plot.coefficient_histogram({"_a$b$ $": {1: 1.0}}, ax, title="$x$")
    ax.figure.canvas.draw()  # pyright: ignore[reportAttributeAccessIssue]
    (label,) = ax.get_legend().get_texts()  # pyright: ignore[reportOptionalMemberAccess]
    assert label.get_text() == "\u200b_a\\$b\\$ \\$"
    assert ax.get_title() == r"\$x\$"


def test_raster() -> None:
    spikes = np.zeros((3, 2, 2), int)
    spikes[0, 1, 0], spikes[2, 0, 1], spikes[1, 0, 0] = 4, 1, -2
    ax = plot.raster(spikes, title="conv")
    positive, negative = ax.collections
    np.testing.assert_array_equal(np.asarray(positive.get_offsets()), [[1, 2], [3, 1]])
    np.testing.assert_array_equal(np.asarray(negative.get_offsets()), [[2, 0]])
    areas = [*positive.get_sizes(), *negative.get_sizes()]  # pyright: ignore[reportAttributeAccessIssue]
    assert np.divide(areas, max(areas)).tolist() == [1, 0.25, 0.5]
    assert to_hex(positive.get_facecolor()[0]).upper() == plot.COLORS[0]  # pyright: ignore
    assert ax.get_title() == "conv: spikes -2 .. +4"
    assert (ax.get_xlim(), ax.get_ylim()) == ((0.5, 3.5), (3.5, -0.5))
    plot.raster(np.zeros((2, 3))).figure.canvas.draw()
    with pytest.raises(la.InputError, match=r"expected an array \(time steps, \*shape\), found shape \(3,\)"):
        plot.raster([1, 2, 3])


def test_coefficient_histogram() -> None:
    counts = {"a": {2: 5.0, -1: 0.5, 1: 7.0}, "none": {}, "b": {1: 3.0}}
    ax = plot.coefficient_histogram(counts, title="fc")
    lines = lines_of(ax)
    assert list(lines) == ["a", "b"]
    assert lines["a"][0] == [-1, 0, 1, 2]
    np.testing.assert_array_equal(lines["a"][1], [0.5, np.nan, 7, 5])
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert ax.get_lines()[1].get_color() == plot.COLORS[2], "a row keeps its colour"
    assert plot.coefficient_histogram({"a": {17: 1.0}}).get_xscale() == "symlog"
    empty = plot.coefficient_histogram({"a": {}})
    empty.figure.canvas.draw()
    assert empty.get_yscale() == "linear"


def branched() -> Network:
    """Two layers of depth 1 side by side, and a path past them and their successor."""
    neuron, eye = AugmentedNeuron(vth=1), np.eye(2, dtype=np.int8)
    layers = (
        Layer(name="left", connections=(Connection("input", Dense(weight=eye)),), neuron=neuron, quantum=1.0),
        Layer(name="right", connections=(Connection("input", Dense(weight=eye)),), neuron=neuron, quantum=1.0),
        Layer(
            name="sum",
            connections=(Connection("left", Dense(weight=eye)), Connection("right", Dense(weight=eye))),
            neuron=neuron,
            quantum=1.0,
        ),
        Layer(
            name="out",
            connections=(Connection("sum", Dense(weight=eye)), Connection("input", Relay())),
            neuron=ReadoutNeuron(),
            quantum=1.0,
        ),
    )
    return Network(input_shape=(2,), layers=layers)


def test_network_graph() -> None:
    net = branched()
    assert layer_places(net) == {
        "input": (0, 0), "left": (-0.5, 1), "right": (0.5, 1), "sum": (0, 2), "out": (0, 3),
    }  # fmt: skip
    ax = plot.network_graph(net)
    texts = [text.get_text() for text in ax.texts]
    assert texts[0] == "input\n2"
    assert texts[2] == "right: 2\ndense 2 -> 2, AUGIF"
    assert [patch.get_linestyle() for patch in ax.patches].count("--") == 1
    assert len(ax.patches) == 6
    (past,) = [patch for patch in ax.patches if patch.get_linestyle() == "--"]
    np.testing.assert_allclose(past.get_path().vertices[[0, -1]], [[0, 0], [0, 3]])  # pyright: ignore
    assert past.get_path().vertices[:, 0].max() > 0.5  # pyright: ignore
    assert ax.get_legend() is not None
    assert plot.network_graph(small_net()).get_legend() is None


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
def test_search(objective: str, x: list[float]) -> None:
    class Net:
        resolution = 0.25

    numbers = ((1, 0.8, 10), (2, 0.9, 30), (3, 0.85, 60))
    points = tuple(Point(Net(), *found) for found in numbers)  # pyright: ignore[reportArgumentType]
    ax = plot.search(Tuned(0.92, 0.03, objective, points))  # pyright: ignore[reportArgumentType]
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
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "3"]
    assert np.asarray(ann.get_ydata()).tolist() == pytest.approx([95, 95])
    over_events = plot.curves(rows, 0.95, against="events")
    assert list(np.asarray(over_events.get_lines()[0].get_xdata())) == [10, 20, 30]
