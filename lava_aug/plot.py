"""Figures. Every function draws on given axes, or on new ones, and returns them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lava_aug.compare import STEPS, Comparison
from lava_aug.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that colour-blind people can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

MARKERS = ("s", "^", "o", "D", "v", "P")


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
    ax = _axes(ax, (6, 4))
    for row, color, marker in zip(comparison.rows, COLORS, MARKERS, strict=False):
        x = np.arange(1, len(row.accuracy) + 1) if against == "steps" else row.events
        ax.plot(x, 100 * row.accuracy, color=color, marker=marker, markersize=4, label=row.title)
    ax.axhline(100 * comparison.ann_accuracy, color="black", linestyle="--", linewidth=1, label="ANN")
    ax.set_xscale("log", base=2 if against == "steps" else 10)
    if against == "steps":
        ticks = [step for step in STEPS if step <= max(len(row.accuracy) for row in comparison.rows)]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlabel("time steps per image" if against == "steps" else "events per image (input left out)")
    ax.set_ylabel("accuracy (%)")
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def neuron_trace(trace: Trace, ax: "Axes | None" = None, *, title: str | None = None) -> "Axes":
    """Potential, thresholds, spikes and their sum ``n`` of one neuron over time.

    Parameters
    ----------
    trace : Trace
        From `lava_aug.traces.trace`, of a single neuron: arrays of shape ``(num_steps,)`` or ``(num_steps, 1)``.
    ax : matplotlib Axes, optional
        Where to draw.
    title : str, optional
        Title; default the neuron's type.
    """
    ax = _axes(ax, (6, 3.5))
    steps = np.arange(1, len(trace.v) + 1)
    vth, vth_lo = getattr(trace.neuron, "vth", None), getattr(trace.neuron, "vth_lo", None)
    # Within a step the potential first jumps to its peak, then the spike takes it down: two points per step.
    ax.plot(np.repeat(steps, 2), np.stack([trace.peak.ravel(), trace.v.ravel()], 1).ravel(), color=COLORS[0], label="v")
    if vth is not None:
        ax.axhline(vth, color=COLORS[1], linestyle="--", linewidth=1, label="vth")
    if vth_lo is not None:
        ax.axhline(vth_lo, color=COLORS[3], linestyle="--", linewidth=1, label="vth_lo")
    _mark_spikes(ax, steps, trace)
    ax.set_title(title or trace.neuron.type_name)
    ax.set_xlabel("time step")
    ax.set_ylabel("potential v")
    right = ax.twinx()
    right.step(steps, trace.n.ravel(), where="post", color=COLORS[2], linewidth=1)
    right.set_ylabel("n, sum of spikes", color=COLORS[2])
    ax.legend(loc="upper left", fontsize="small")
    return ax


def _mark_spikes(ax: Any, steps: np.ndarray, trace: Trace) -> None:
    for step, s, peak in zip(steps, trace.s.ravel(), trace.peak.ravel(), strict=True):
        if s:
            ax.annotate(f"{s:+g}", (step, peak), (0, 6 if s > 0 else -12), textcoords="offset points", ha="center")
