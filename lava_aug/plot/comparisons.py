"""Figures of comparisons and searches: accuracy over cost, and errors layer by layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.texts import counted
from lava_aug.plot.drawing import (
    ACCURACY,
    COLORS,
    ENERGY,
    EVENTS,
    OPERATIONS,
    STEPS,
    axes_for,
    draw_ann,
    log_axis,
    plain,
    powers_of_two,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lava_aug.experiments.comparison import Comparison
    from lava_aug.experiments.diagnosis import Diagnosis
    from lava_aug.experiments.finetuning import Finetuned
    from lava_aug.experiments.rows import Curve
    from lava_aug.experiments.tuning import Tuned

Cost = Literal["events", "energy"]

COSTS: dict[str, str] = {"events": EVENTS, "operations": OPERATIONS, "energy": ENERGY, "steps": STEPS}
"""What accuracy can be drawn over, and how that axis is called."""

ROOM = (0.06, 0.07)
"""Width and height of a label, in parts of the axes."""


def accuracy_over_steps(comparison: "Comparison", ax: "Axes | None" = None) -> "Axes":
    """Accuracy of every row of a comparison over time steps, with markers at powers of two and at the last step.

    Parameters
    ----------
    comparison : Comparison
        From `lava_aug.experiments.compare`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    return curves(comparison.rows, comparison.ann_accuracy, ax)


def accuracy_and_events(comparison: "Comparison", title: str | None = None) -> "Figure":
    """A figure with both: accuracy over time steps, and over events."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    accuracy_over_steps(comparison, left)
    accuracy_over_events(comparison, right)
    right.get_legend().remove()
    right.set_ylabel("")
    figure.suptitle(title or "")
    return figure


def accuracy_over_events(comparison: "Comparison", ax: "Axes | None" = None) -> "Axes":
    """Accuracy of every row of a comparison over the mean events per image up to then; markers as over steps.

    Parameters
    ----------
    comparison : Comparison
        From `lava_aug.experiments.compare`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    return curves(comparison.rows, comparison.ann_accuracy, ax, against="events")


def curves(
    rows: "Sequence[Curve]",
    ann_accuracy: float,
    ax: "Axes | None" = None,
    *,
    against: Literal["steps", "events"] = "steps",
) -> "Axes":
    """Accuracy of several networks, ours or not, over time steps or over events.

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
    ax = axes_for(ax, (6, 4))
    for index, row in enumerate(rows):
        x = np.arange(1, row.num_steps + 1) if against == "steps" else _visible(row.events)
        marked = [step - 1 for step in powers_of_two(row.num_steps)]
        style: dict[str, Any] = style_of(index) | {"markersize": 5, "markevery": marked}
        ax.plot(x, 100 * row.accuracy, label=plain(row.title), **style)
    if against == "steps":
        _steps_axis(ax, max(row.num_steps for row in rows))
    else:
        log_axis(ax, np.concatenate([row.events for row in rows]))
    draw_ann(ax, ann_accuracy)
    return _label(ax, COSTS[against])


def early_exit(comparison: "Comparison", ax: "Axes | None" = None) -> "Axes":
    """Accuracy over the mean number of steps with early exit, as soon as the readout's margin suffices.

    A point is one margin; rows without such points are left out.

    Parameters
    ----------
    comparison : Comparison
        From `lava_aug.experiments.compare`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    ax = axes_for(ax, (6, 4))
    for index, row in enumerate(comparison.rows):
        points = sorted((steps, 100 * accuracy) for _, steps, accuracy in row.exits)
        if points:
            ax.plot(*zip(*points, strict=True), label=plain(row.title), markersize=5, **style_of(index))
    return _finish(ax, comparison, "mean time steps per image")


def pareto(comparison: "Comparison", ax: "Axes | None" = None, *, against: Cost = "events") -> "Axes":
    """All rows after all steps, accuracy over cost, with the Pareto front: points that no other beats in both.

    Points on the front are labelled with their number of steps, as far as space permits.

    Parameters
    ----------
    comparison : Comparison
        From `lava_aug.experiments.compare`.
    ax : matplotlib Axes, optional
        Where to draw.
    against : {"events", "energy"}
        The cost: mean events per image, or the estimate of the energy in nJ.
    """
    ax = axes_for(ax, (6, 4))
    for index, row in enumerate(comparison.rows):
        style: dict[str, Any] = style_of(index) | {"linestyle": "none", "markersize": 5, "alpha": 0.7}
        ax.plot(_visible(getattr(row, against)), 100 * row.accuracy, label=plain(row.title), **style)
    x, y, steps = (np.array(column) for column in zip(*comparison.front(against), strict=True))
    y = 100 * y
    ax.plot(_visible(x), y, color="black", linewidth=1, zorder=1, label="Pareto front")
    log_axis(ax, np.concatenate([getattr(row, against) for row in comparison.rows]))
    ax.margins(y=0.1)
    for place in _with_room(ax, x, y):
        where: dict[str, Any] = {"xytext": (-3, 3), "textcoords": "offset points", "ha": "right", "fontsize": "small"}
        ax.annotate(str(steps[place]), (x[place], y[place]), **where)
    return _finish(ax, comparison, COSTS[against])


def search(tuned: "Tuned", ax: "Axes | None" = None) -> "Axes":
    """Everything that `lava_aug.tune` tried: accuracy over its objective, the Pareto front, and the best point.

    Parameters
    ----------
    tuned : Tuned
        From `lava_aug.tune`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    ax = axes_for(ax, (6, 4))
    front, best = tuned.front, tuned.best

    def x(points: Any) -> list[float]:
        return [point.events if tuned.objective == "events" else point.num_steps for point in points]

    def y(points: Any) -> list[float]:
        return [100 * point.accuracy for point in points]

    ax.scatter(x(tuned.points), y(tuned.points), color="0.7", s=12, label="tried")
    ax.plot(x(front), y(front), color=COLORS[0], marker="o", markersize=4, label="Pareto front")
    label = f"best: resolution {best.resolution:g}, {counted(best.num_steps, 'step')}"
    ax.plot(x([best]), y([best]), color=COLORS[1], marker="*", markersize=14, linestyle="none", label=label)
    draw_ann(ax, tuned.ann_accuracy)
    allowed = 100 * (tuned.ann_accuracy - tuned.max_loss)
    ax.axhline(allowed, color="black", linestyle=":", linewidth=1, label="allowed")
    if tuned.objective == "events":
        log_axis(ax, x(tuned.points))
    return _label(ax, COSTS[tuned.objective])


def training(finetuned: "Finetuned", ax: "Axes | None" = None) -> "Axes":
    """The way that `lava_aug.finetune` took: accuracy over what was to be saved, epoch by epoch.

    Parameters
    ----------
    finetuned : Finetuned
        From `lava_aug.finetune`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    ax = axes_for(ax, (6, 4))
    found, objective = finetuned.best, finetuned.objective
    x = [getattr(epoch, objective) for epoch in finetuned.history]
    y = [100 * epoch.accuracy for epoch in finetuned.history]
    ax.plot(x, y, color=COLORS[0], marker="o", markersize=4, label="after each epoch")
    for epoch, *place in zip(finetuned.history, x, y, strict=True):
        told, side = (str(epoch.epoch), 1) if epoch.epoch else ("converted", -1)
        where: dict[str, Any] = {
            "textcoords": "offset points",
            "fontsize": "small",
            "ha": "left" if side > 0 else "right",
        }
        ax.annotate(told, (place[0], place[1]), xytext=(3 * side, 3), **where)
    star: dict[str, Any] = {"marker": "*", "markersize": 14, "linestyle": "none", "label": f"best: epoch {found.epoch}"}
    ax.plot([getattr(found, objective)], [100 * found.accuracy], color=COLORS[1], **star)
    draw_ann(ax, finetuned.ann_accuracy)
    allowed = 100 * finetuned.ann_accuracy - finetuned.max_loss
    ax.axhline(allowed, color="black", linestyle=":", linewidth=1, label="allowed")
    log_axis(ax, x)
    return _label(ax, COSTS[objective])


def error_over_steps(
    errors: Mapping[str, Any], ax: "Axes | None" = None, *, bound: Any = None, unit: str = "quanta"
) -> "Axes":
    """Errors that decrease with the number of time steps, on logarithmic axes; zeros are not drawn.

    Parameters
    ----------
    errors : mapping of str to array, shape (T,)
        Titles, and the error after every step.
    ax : matplotlib Axes, optional
        Where to draw.
    bound : array, shape (T,), optional
        The theoretical bound: a dashed black line.
    unit : str
        Of the errors.
    """
    ax = axes_for(ax, (6, 4))
    curves = {title: np.asarray(values, float) for title, values in errors.items()}
    for index, (title, values) in enumerate(curves.items()):
        marked = [step - 1 for step in powers_of_two(len(values))]
        style: dict[str, Any] = style_of(index) | {"markersize": 5, "markevery": marked}
        ax.plot(np.arange(1, len(values) + 1), _visible(values), label=plain(title), **style)
    if bound is not None:
        limit = np.asarray(bound, float)
        style: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1, "label": "bound"}
        ax.plot(np.arange(1, len(limit) + 1), _visible(limit), **style)
    ax.set_yscale("log")
    _steps_axis(ax, max(map(len, curves.values())))
    ax.set_xlabel("time step")
    ax.set_ylabel(f"error ({unit})")
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def bars(values: Mapping[str, float], ax: "Axes | None" = None, *, xlabel: str = "") -> "Axes":
    """A horizontal bar chart of labelled values, such as times, with the first one at the top.

    Parameters
    ----------
    values : mapping of str to float
        Titles and non-negative values.
    ax : matplotlib Axes, optional
        Where to draw.
    xlabel : str
        What the values are, with their unit.
    """
    ax = axes_for(ax, (6, 0.5 + 0.4 * len(values)))
    titles = [plain(title) for title in values]
    drawn = ax.barh(titles, list(values.values()), color=COLORS[0], height=0.6)
    ax.bar_label(drawn, [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values.values()], padding=3)
    ax.invert_yaxis()
    ax.margins(x=0.12)  # room for the numbers
    ax.set_xlabel(xlabel)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def layer_error(diagnosis: "Diagnosis", ax: "Axes | None" = None) -> "Axes":
    """Errors of every layer, in the order of the network: components as bars, the total as a line.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `lava_aug.diagnose`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    names = [layer.name for layer in diagnosis.layers]
    ax = axes_for(ax, (max(5, 0.5 * len(names)), 4))
    places, width = np.arange(len(names)), 0.8 / len(diagnosis.parts)
    for index, (part, color, hatch) in enumerate(zip(diagnosis.parts, COLORS, ("", "///", "..."), strict=False)):
        heights = [100 * getattr(layer, part) for layer in diagnosis.layers]
        bars: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0, "label": part}
        ax.bar(places + (index - 1) * width, heights, width, **bars)
    ax.plot(places, [100 * layer.total for layer in diagnosis.layers], color="black", marker="o", label="total")
    ax.set_xticks(places, [plain(name) for name in names], rotation=90 if len(names) > 6 else 0)
    ax.set_xlabel("layer")
    ax.set_ylabel("error (% of activations' rms)")
    ax.set_title(
        f"after {counted(diagnosis.num_steps, 'step')}, {counted(diagnosis.num_images, 'image')}", fontsize="medium"
    )
    ax.legend()
    ax.grid(axis="y", alpha=0.3)
    return ax


def _steps_axis(ax: "Axes", last: int) -> None:
    ticks = powers_of_two(last)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])


def _visible(x: NDArray[Any]) -> NDArray[Any]:
    """Without zeros, which have no place on a logarithmic axis."""
    return np.where(x > 0, x, np.nan)


def _finish(ax: "Axes", comparison: "Comparison", xlabel: str) -> "Axes":
    draw_ann(ax, comparison.ann_accuracy)
    return _label(ax, xlabel)


def _label(ax: "Axes", xlabel: str) -> "Axes":
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ACCURACY)
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def _with_room(ax: "Axes", x: NDArray[Any], y: NDArray[Any]) -> list[int]:
    """The points of a curve that are far enough from each other for a label of a few letters."""
    limits, scale = cast("tuple[Any, Any]", (ax.transLimits, ax.transScale))
    places = limits.transform(scale.transform(np.stack([x, y], 1)))
    shown: list[int] = []
    for index in np.flatnonzero(x > 0):
        if not shown or (np.abs(places[index] - places[shown[-1]]) > ROOM).any():
            shown.append(int(index))
    return shown
