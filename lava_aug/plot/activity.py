"""Neural activity and its figures: one neuron over time, the spikes of many, and their coefficients."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.neurons import Neuron, initial_state
from lava_aug.core.texts import signed
from lava_aug.plot.drawing import COLORS, axes_for, plain, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class Trace:
    """What neurons did, step by step; every array is ``(num_steps, *shape)``.

    Attributes
    ----------
    neuron : Neuron
        Their specification.
    a : numpy.ndarray
        Input current.
    peak : numpy.ndarray
        Membrane potential before the reset by subtraction, which is compared with the thresholds.
    v : numpy.ndarray
        Potential at the end of the step.
    s : numpy.ndarray
        Spike coefficients.
    n : numpy.ndarray
        Their running sum.
    """

    neuron: Neuron
    a: NDArray[Any]
    peak: NDArray[Any]
    v: NDArray[Any]
    s: NDArray[Any]
    n: NDArray[Any]


def trace(neuron: Neuron, a: Any, bias: Any = 0) -> Trace:
    """Run neurons from reset on a sequence of input currents.

    Parameters
    ----------
    neuron : Neuron
        The neuron to run, any of `lava_aug.core.neurons`.
    a : array, shape (num_steps, *shape)
        Input current in every step; integers for fixed-point neurons.
    bias : number or array
        Added in every step.

    Returns
    -------
    Trace
        Membrane potentials, spikes and sums.

    Examples
    --------
    >>> from lava_aug.core.neurons import AugmentedNeuron
    >>> trace(AugmentedNeuron(vth=10), [25, -9, -30]).s
    array([ 3, -1, -2])
    """
    currents = np.asarray(a)
    state = initial_state(neuron, currents.shape[1:])
    currents = currents.astype(state.v.dtype)
    rows = list[tuple[NDArray[Any], ...]]()
    for current in currents:
        step = neuron.step(state, current, bias)
        rows.append((neuron.peak(step.state.v, step.s), step.state.v, step.s, step.state.n))
        state = step.state
    peak, v, s, n = (np.stack(column) for column in zip(*rows, strict=True))
    return Trace(neuron, currents, peak, v, s, n)


MARKER_AREA = 40.0
"""Of a raster's largest spike, in square points."""

NARROW = 16
"""Coefficients up to here are drawn on a linear axis."""

THRESHOLDS = ("vth", "vth_lo")
"""Parameters of a recording that are lines in the figure of one neuron."""

THRESHOLD_LINES = ((COLORS[1], "--"), (COLORS[3], ":"), (COLORS[4], "-."))
"""Color and style of each threshold, in the order in which the neuron names them."""


def raster(spikes: Any, ax: "Axes | None" = None, *, title: str | None = None) -> "Axes":
    """Spikes of many neurons over time: discs for positive ones, triangles for negative ones, areas by coefficient.

    Parameters
    ----------
    spikes : array, shape (T, *shape)
        Coefficients of one image, such as ``Output.spikes[layer][:, 0]``.
    ax : matplotlib Axes, optional
        Where to draw.
    title : str, optional
        Such as the layer's name; the range of the coefficients is added to it.

    Raises
    ------
    InputError
        If the array does not have a time axis and a neuron axis.
    """
    trains = np.asarray(spikes)
    if trains.ndim < 2:
        raise InputError(f"spikes: expected an array (time steps, *shape), found shape {trains.shape}")
    trains = trains.reshape(len(trains), -1)
    ax = axes_for(ax, (6, 4))
    largest = max(1, np.abs(trains).max(initial=0))
    for sign, name, color, marker in ((1, "positive", COLORS[0], "o"), (-1, "negative", COLORS[1], "v")):
        step, neuron = np.nonzero(sign * trains > 0)
        sizes = MARKER_AREA * np.abs(trains[step, neuron]) / largest
        # Many marks: as pixels, also in vector graphics.
        marks: dict[str, Any] = {
            "s": sizes,
            "color": color,
            "marker": marker,
            "linewidths": 0,
            "rasterized": True,
            "label": name,
        }
        ax.scatter(step + 1, neuron, **marks)
    _whole_numbers(ax.xaxis)
    _whole_numbers(ax.yaxis)
    ax.set_xlim(0.5, len(trains) + 0.5)
    ax.set_ylim(trains.shape[1] - 0.5, -0.5)
    ax.set_xlabel("time step")
    ax.set_ylabel("neuron (index)")
    scope = f"spikes {signed(trains.min(initial=0))} .. {signed(trains.max(initial=0))}"
    ax.set_title(scope if title is None else f"{plain(title)}: {scope}", fontsize="medium")
    marks_in_legend: list[Any] = ax.legend(fontsize="small", loc="upper right").legend_handles
    for mark in marks_in_legend:
        mark.set_sizes([MARKER_AREA / 2])
    return ax


def coefficient_histogram(
    counts: Mapping[str, Mapping[int, float]], ax: "Axes | None" = None, *, title: str | None = None
) -> "Axes":
    """The number of spikes per coefficient that an image causes in a layer, one line for each conversion.

    Parameters
    ----------
    counts : mapping
        Title to a mapping from coefficient to mean number of spikes per image, without zeros.
    ax : matplotlib Axes, optional
        Where to draw. Beyond coefficients of 16 its horizontal axis is linear up to 1 and logarithmic from there.
    title : str, optional
        Such as the layer's name.
    """
    ax = axes_for(ax, (6, 4))
    for index, (name, histogram) in enumerate(counts.items()):
        pairs = sorted((int(coefficient), number) for coefficient, number in histogram.items() if number > 0)
        if pairs:
            if pairs[0][0] < 0 < pairs[-1][0]:  # no line across 0, where there is no spike
                pairs = sorted([*pairs, (0, math.nan)])
            ax.plot(*zip(*pairs, strict=True), label=plain(name), markersize=3, linewidth=1, **style_of(index))
    if ax.get_lines():
        ax.set_yscale("log")
        ax.legend(fontsize="small")
    _coefficient_axis(ax, [abs(int(coefficient)) for histogram in counts.values() for coefficient in histogram])
    ax.set_xlabel("spike coefficient")
    ax.set_ylabel("spikes per image")
    ax.grid(alpha=0.3)
    if title is not None:
        ax.set_title(plain(title), fontsize="medium")
    return ax


def neuron_trace(
    trace: Trace | Mapping[str, Any],
    ax: "Axes | None" = None,
    *,
    title: str | None = None,
    n_lim: tuple[float, float] | None = None,
) -> "Axes":
    """Membrane potential, thresholds, spikes and their sum ``n`` of one neuron over time.

    Within a step the potential first moves to its peak, then a spike, if there is one, resets it by subtraction.

    Parameters
    ----------
    trace : Trace or mapping
        From `lava_aug.plot.activity.trace`, of a single neuron: arrays of shape ``(num_steps,)`` or ``(num_steps,
        1)``. Or a recording of a Process by `lava_aug.testing.run_process` or Lava's Monitor, together with the
        parameters: a mapping with the arrays ``v`` (at the end of every step) and ``s_out``, and the number ``vth``. It
        may have the arrays ``n`` (default: sum of the spikes) and ``peak`` (default: ``v + s_out * vth``, that of a
        soft reset), and the numbers ``vth_lo`` and ``v0``, the initial potential. Anything else is ignored.
    ax : matplotlib Axes, optional
        Where to draw.
    title : str, optional
        Title; default the neuron's type, or none for a recording.
    n_lim : (float, float), optional
        Limits of the right-hand axis, that of ``n``; for traces side by side.

    Raises
    ------
    InputError
        If a recording is incomplete, or of several neurons.
    """
    curves = _of_trace(trace) if isinstance(trace, Trace) else _of_recording(trace)
    ax = axes_for(ax, (6, 3.5))
    steps = np.arange(1, len(curves.v) + 1)
    right = ax.twinx()
    ax.set_zorder(right.get_zorder() + 1)  # so that n is drawn behind v and its labels
    ax.patch.set_visible(False)
    course = np.stack([curves.peak, curves.v], 1).ravel()
    before = [] if curves.v0 is None else [(0, curves.v0)]
    ax.plot(*zip(*before, *zip(np.repeat(steps, 2), course, strict=True), strict=True), color=COLORS[0], label="v")
    for (name, value), (color, style) in zip(curves.thresholds.items(), THRESHOLD_LINES, strict=False):
        ax.axhline(value, color=color, linestyle=style, linewidth=1.5, label=name)
    _mark_spikes(ax, steps, curves)
    ax.set_title(plain(title or curves.title))
    ax.set_xlabel("time step")
    ax.set_ylabel("potential v")
    ax.margins(y=0.15)  # room for the spikes' labels
    _draw_n(right, steps, np.array([0, *curves.n]), n_lim)
    lines = [*ax.get_lines(), *right.get_lines()]
    ax.legend(lines, [str(line.get_label()) for line in lines], fontsize="small")
    return ax


class _Course(NamedTuple):
    """What there is to draw of one neuron; arrays are ``(num_steps,)``."""

    v0: float | None
    peak: NDArray[Any]
    v: NDArray[Any]
    s: NDArray[Any]
    n: NDArray[Any]
    thresholds: Mapping[str, float]
    title: str = ""


def _of_trace(trace: Trace) -> _Course:
    thresholds = {name: np.ravel(value)[0] for name, value in trace.neuron.thresholds.items()}
    peak, v, s, n = (values.ravel() for values in (trace.peak, trace.v, trace.s, trace.n))
    v0 = np.ravel(trace.neuron.initial()[0])[0]
    return _Course(v0, peak, v, s, n, thresholds, trace.neuron.type_name)


def _of_recording(recording: Mapping[str, Any]) -> _Course:
    missing = [name for name in ("v", "s_out", "vth") if name not in recording]
    if missing:
        raise InputError(f"trace: expected v, s_out and vth, found {list(recording)}; {', '.join(missing)} missing")
    v, s = (_single(name, recording[name]) for name in ("v", "s_out"))
    n = _single("n", recording["n"]) if "n" in recording else np.cumsum(s)
    peak = _single("peak", recording["peak"]) if "peak" in recording else v + s * recording["vth"]
    if len({len(each) for each in (v, s, n, peak)}) > 1:
        raise InputError(f"trace: expected as many time steps of all, found {len(v)} of v and {len(s)} of s_out")
    return _Course(
        recording.get("v0"), peak, v, s, n, {name: recording[name] for name in THRESHOLDS if name in recording}
    )


def _single(name: str, values: Any) -> NDArray[Any]:
    course = np.asarray(values)
    if course.ndim == 0 or not len(course) or course.size > len(course):
        raise InputError(f"trace: {name}: expected one neuron, (num_steps,), found shape {course.shape}")
    return course.ravel()


def _draw_n(ax: Any, steps: NDArray[Any], n: NDArray[Any], n_lim: tuple[float, float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.step([0, *steps], n, where="post", color=COLORS[2], linewidth=1, label="n")
    ax.set_ylabel("n, sum of spikes", color=COLORS[2])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(y=0.15)
    if n_lim is not None:
        ax.set_ylim(n_lim)


def _mark_spikes(ax: Any, steps: NDArray[Any], course: _Course) -> None:
    for step, s, peak in zip(steps, course.s, course.peak, strict=True):
        if s:
            up = s > 0
            place = {"xytext": (0, 4 if up else -4), "va": "bottom" if up else "top", "ha": "center"}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
            ax.annotate(f"{s:+g}", (step, peak), textcoords="offset points", bbox=box, **place)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _coefficient_axis(ax: Any, magnitudes: list[int]) -> None:
    if max(magnitudes, default=0) <= NARROW:
        _whole_numbers(ax.xaxis)
        return
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    ax.set_xscale("symlog", base=4, linthresh=1)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
