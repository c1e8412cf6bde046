"""Figures. Every function draws on given axes, or on new ones, and returns them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lava_aug.compare import Comparison, Curve
from lava_aug.diagnosis import PARTS, Diagnosis
from lava_aug.traces import Trace
from lava_aug.tuning import Tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that colour-blind people can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

MARKERS = ("s", "^", "o", "D", "v", "P")

LINES = ("-", ":", "-.")
"""Styles of lines, for more curves than colours."""


def _axes(ax: "Axes | None", size: tuple[float, float]) -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def accuracy(comparison: Comparison, ax: "Axes | None" = None, *, against: str = "steps") -> "Axes":
    """Accuracy of every row of a comparison, over time steps or over events.

    Parameters
    ----------
    comparison : Comparison
        From `lava_aug.compare.compare`.
    ax : matplotlib Axes, optional
        Where to draw.
    against : {"steps", "events"}
        The horizontal axis: time steps, or mean events per image.
    """
    return curves(comparison.rows, comparison.ann_accuracy, ax, against=against)


def curves(rows: Sequence[Curve], ann_accuracy: float, ax: "Axes | None" = None, *, against: str = "steps") -> "Axes":
    """Accuracy of several networks, over time steps or over events; markers stand at powers of two.

    Parameters
    ----------
    rows : sequence of Curve
        What to draw.
    ann_accuracy : float
        The ANN's, 0 .. 1: a dashed line.
    ax : matplotlib Axes, optional
        Where to draw.
    against : {"steps", "events"}
        The horizontal axis: time steps, or mean events per image.
    """
    ax = _axes(ax, (6, 4))
    ticks = [1 << power for power in range(max(len(row.accuracy) for row in rows).bit_length())]
    for index, row in enumerate(rows):
        x = np.arange(1, len(row.accuracy) + 1) if against == "steps" else row.events
        style: dict[str, Any] = {
            "color": COLORS[index % len(COLORS)],
            "linestyle": LINES[index // len(COLORS) % len(LINES)],
            "marker": MARKERS[index % len(MARKERS)],
            "markersize": 5,
            "markevery": [tick - 1 for tick in ticks if tick <= len(x)],
        }
        ax.plot(x, 100 * row.accuracy, label=row.title, **style)
    ax.axhline(100 * ann_accuracy, color="black", linestyle="--", linewidth=1, label="ANN")
    ax.set_xscale("log", base=2 if against == "steps" else 10)
    if against == "steps":
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlabel("time steps per image" if against == "steps" else "events per image (input left out)")
    ax.set_ylabel("accuracy (%)")
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def layer_error(diagnosis: Diagnosis, ax: "Axes | None" = None) -> "Axes":
    """Errors of every layer, in the order of the network: their parts as bars, the whole as a line.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `lava_aug.diagnose`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    names = [layer.name for layer in diagnosis.layers]
    ax = _axes(ax, (max(5, 0.5 * len(names)), 4))
    places, width = np.arange(len(names)), 0.8 / len(PARTS)
    for index, (part, color) in enumerate(zip(PARTS, COLORS, strict=False)):
        heights = [100 * getattr(layer, part) for layer in diagnosis.layers]
        ax.bar(places + (index - 1) * width, heights, width, color=color, label=part)
    ax.plot(places, [100 * layer.total for layer in diagnosis.layers], color="black", marker="o", label="total")
    ax.set_xticks(places, names, rotation=90 if len(names) > 6 else 0)
    ax.set_xlabel("layer")
    ax.set_ylabel("error (% of activations' rms)")
    ax.set_title(f"after {diagnosis.num_steps} steps, {diagnosis.num_images} images", fontsize="medium")
    ax.legend()
    ax.grid(axis="y", alpha=0.3)
    return ax


def pareto(tuned: Tuned, ax: "Axes | None" = None) -> "Axes":
    """Everything that was tried, accuracy over events or steps, with the Pareto front and the best point.

    Parameters
    ----------
    tuned : Tuned
        From `lava_aug.tune`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    ax = _axes(ax, (6, 4))
    front, best = tuned.front, tuned.best

    def x(points: Any) -> list[float]:
        return [point.events if tuned.objective == "events" else point.num_steps for point in points]

    def y(points: Any) -> list[float]:
        return [100 * point.accuracy for point in points]

    ax.scatter(x(tuned.points), y(tuned.points), color="0.7", s=12, label="tried")
    ax.plot(x(front), y(front), color=COLORS[0], marker="o", markersize=4, label="Pareto front")
    label = f"best: resolution {best.resolution:g}, {best.num_steps} steps"
    ax.plot(x([best]), y([best]), color=COLORS[1], marker="*", markersize=14, linestyle="none", label=label)
    ax.axhline(100 * tuned.ann_accuracy, color="black", linestyle="--", linewidth=1, label="ANN")
    allowed = 100 * (tuned.ann_accuracy - tuned.max_loss)
    ax.axhline(allowed, color="black", linestyle=":", linewidth=1, label="allowed")
    if tuned.objective == "events":
        ax.set_xscale("log")
    ax.set_xlabel("events per image (input left out)" if tuned.objective == "events" else "time steps per image")
    ax.set_ylabel("accuracy (%)")
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def neuron_trace(
    trace: Trace, ax: "Axes | None" = None, *, title: str | None = None, n_lim: tuple[float, float] | None = None
) -> "Axes":
    """Potential, thresholds, spikes and their sum ``n`` of one neuron over time.

    Within a step the potential first moves to its peak, then the spike, if there is one, takes it up or down at once.

    Parameters
    ----------
    trace : Trace
        From `lava_aug.traces.trace`, of a single neuron: arrays of shape ``(num_steps,)`` or ``(num_steps, 1)``.
    ax : matplotlib Axes, optional
        Where to draw.
    title : str, optional
        Title; default the neuron's type.
    n_lim : (float, float), optional
        Limits of the right-hand axis, which is that of ``n``; for traces side by side.
    """
    ax = _axes(ax, (6, 3.5))
    v0, n0 = (np.ravel(value)[0] for value in trace.neuron.initial())
    steps = np.arange(1, len(trace.v) + 1)
    right = ax.twinx()
    ax.set_zorder(right.get_zorder() + 1)  # so that n is drawn behind v and its labels
    ax.patch.set_visible(False)
    course = np.stack([trace.peak.ravel(), trace.v.ravel()], 1).ravel()
    ax.plot([0, *np.repeat(steps, 2)], [v0, *course], color=COLORS[0], label="v")
    for name, color, style in (("vth", COLORS[1], "--"), ("vth_lo", COLORS[3], ":")):
        value = getattr(trace.neuron, name, None)
        if value is not None:
            ax.axhline(np.ravel(value)[0], color=color, linestyle=style, linewidth=1.5, label=name)
    _mark_spikes(ax, steps, trace)
    ax.set_title(title or trace.neuron.type_name)
    ax.set_xlabel("time step")
    ax.set_ylabel("potential v")
    ax.margins(y=0.15)  # room for the spikes' labels
    _draw_n(right, steps, np.array([n0, *trace.n.ravel()]), n_lim)
    lines = [*ax.get_lines(), *right.get_lines()]
    ax.legend(lines, [str(line.get_label()) for line in lines], fontsize="small")
    return ax


def _draw_n(ax: Any, steps: np.ndarray, n: np.ndarray, n_lim: tuple[float, float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.step([0, *steps], n, where="post", color=COLORS[2], linewidth=1, label="n")
    ax.set_ylabel("n, sum of spikes", color=COLORS[2])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(y=0.15)
    if n_lim is not None:
        ax.set_ylim(n_lim)


def _mark_spikes(ax: Any, steps: np.ndarray, trace: Trace) -> None:
    for step, s, peak in zip(steps, trace.s.ravel(), trace.peak.ravel(), strict=True):
        if s:
            up = s > 0
            place = {"xytext": (0, 4 if up else -4), "va": "bottom" if up else "top", "ha": "center"}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
            ax.annotate(f"{s:+g}", (step, peak), textcoords="offset points", bbox=box, **place)
