"""The figures of a report: drawn by `lava_aug.plot`, as SVG embedded in the page, in its colours."""

import dataclasses
import functools
import io
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lava_aug import plot
from lava_aug.core.network import INPUT
from lava_aug.core.texts import counted, signed
from lava_aug.experiments.rows import is_object
from lava_aug.plot.drawing import style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lava_aug.experiments.comparison import Comparison

LARGE, SMALL, SWATCH = (4.6, 3.2), (3.2, 2.2), (0.5, 0.2)
"""Sizes in inches; on a phone, too, a figure is about as wide, so that its letters stay legible."""

MARGINS = {"left": 0.75, "right": 0.15, "top": 0.12, "bottom": 0.46}
"""Around the axes, in inches. Fixed, so that figures below each other are in line."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and found by searching
    "svg.hashsalt": "lava-aug",  # the same report twice is the same file
    "font.size": 9,
    "axes.titlesize": 9,
    "lines.linewidth": 1.5,
}

INKS = {"#000000": "var(--ink)", "#ffffff": "var(--page)"}
"""Black and white are the page's."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing and what is written below it."""

    svg: Markup
    caption: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Figures under one heading, with one key for all of them.

    Attributes
    ----------
    name : str
        For links within the page.
    heading, text : str
        Above the figures.
    key : tuple of Figure
        A line or a marker each, and what it stands for.
    figures : tuple of Figure
        The figures.
    small : bool
        Whether they are one for each layer.
    """

    name: str
    heading: str
    text: str
    key: tuple[Figure, ...]
    figures: tuple[Figure, ...]
    small: bool = False


def accuracy_group(comparison: "Comparison", prefix: str) -> Group:
    """Accuracy over everything that it costs."""
    ends = "; ".join(f"{row.title} {100 * row.accuracy[-1]:.2f} % after {row.num_steps}" for row in comparison.rows)
    drawings: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (plot.accuracy_over_steps, {}, f"Accuracy over time steps: {ends}"),
        (plot.accuracy_over_events, {}, "Accuracy over events per image"),
        (plot.pareto, {}, "Pareto front of accuracy and events; at its points, the number of steps"),
        (plot.pareto, {"against": "energy"}, "Pareto front of accuracy and energy; at its points, the number of steps"),
    ]
    if any(row.exits for row in comparison.rows):
        drawings.append((plot.early_exit, {}, "Accuracy over mean steps, if an image ends once the margin suffices"))
    figures = tuple(
        Figure(
            drawn(lambda ax, draw=draw, options=options: draw(comparison, ax, **options), LARGE, alt, f"{prefix}a{i}"),
            alt.partition(":")[0] + ".",
        )
        for i, (draw, options, alt) in enumerate(drawings)
    )
    ann = {"color": "black", "linestyle": "--", "linewidth": 1}
    front = {"color": "black", "linewidth": 1}
    key = (
        *row_key(comparison, prefix),
        Figure(swatch(ann, f"{prefix}ann"), f"ANN, {100 * comparison.ann_accuracy:.2f} %"),
        Figure(swatch(front, f"{prefix}front"), "Pareto front"),
    )
    text = "Accuracy over time steps, events and energy; markers on lines stand at powers of two steps."
    return Group("accuracy", "Accuracy and its cost", text, key, figures)


def coefficient_group(comparison: "Comparison", prefix: str) -> Group:
    """How large the spikes of every layer are."""
    figures = tuple(
        Figure(
            drawn(
                lambda ax, counts=counts, name=name: plot.coefficient_histogram(counts, ax, title=name),
                SMALL,
                f"Spikes per image by coefficient, {name}: {_described(counts)}",
                f"{prefix}h{index}",
            ),
            name,
        )
        for index, (name, counts) in enumerate(_coefficients(comparison))
    )
    text = "Spikes per image by their coefficient, over all time steps."
    return Group("coefficients", "Spike coefficients by layer", text, row_key(comparison, prefix + "k"), figures, True)


def raster_group(comparison: "Comparison", prefix: str) -> Group:
    """The spikes of one image."""
    figures = tuple(
        Figure(
            drawn(
                lambda ax, spikes=spikes, name=name: plot.raster(spikes, ax, title=name),
                SMALL,
                f"Spike raster of {name}: {_spikes(spikes)} in {counted(len(spikes), 'time step')}",
                f"{prefix}r{index}",
            ),
            f"{name}: first {_size(spikes)} neurons, spikes {signed(spikes.min())} .. {signed(spikes.max())}",
        )
        for index, (name, spikes) in enumerate(comparison.raster.items())
    )
    marks = (("positive", plot.COLORS[0], "o"), ("negative", plot.COLORS[1], "v"))
    key = tuple(
        Figure(swatch({"color": color, "marker": mark, "linestyle": "none"}, prefix + name), name)
        for name, color, mark in marks
    )
    shown = comparison.configuration.get("raster")
    which = f" ({', '.join(f'{name} {value}' for name, value in shown.items())})" if is_object(shown) else ""
    text = f"One image, the first neurons of every layer{which}; the area of a mark is the coefficient."
    return Group("raster", "Spikes of one image", text, key, figures, True)


def _coefficients(comparison: "Comparison") -> Iterator[tuple[str, dict[str, Any]]]:
    """Of every layer that fires: row to coefficients, all rows everywhere, so that their colours are the same."""
    longest = sorted(comparison.rows, key=lambda row: -len(row.layers))
    for name in dict.fromkeys(name for row in longest for name in row.layers if name != INPUT):
        counts = {row.title: {**row.layers[name].coefficients} if name in row.layers else {} for row in comparison.rows}
        if any(counts.values()):
            yield name, counts


def _spikes(spikes: Any) -> str:
    return counted(int((spikes != 0).sum()), "spike")


def _size(spikes: Any) -> int:
    return spikes[0].size


def _described(counts: dict[str, Any]) -> str:
    return "; ".join(f"{title} from {signed(min(c))} to {signed(max(c))}" for title, c in counts.items() if c)


def row_key(comparison: "Comparison", prefix: str) -> tuple[Figure, ...]:
    """Line and marker of every row."""
    return tuple(
        Figure(swatch(style_of(index), f"{prefix}s{index}"), row.title) for index, row in enumerate(comparison.rows)
    )


def swatch(style: dict[str, Any], prefix: str) -> Markup:
    """A short line with a marker, for a key; what it stands for is written beside it."""
    return _embedded(_swatch(tuple(style.items())), "", prefix)


@functools.cache
def _swatch(style: tuple[tuple[str, Any], ...]) -> str:
    """Keys repeat a few styles many times; drawing one takes as long as drawing a figure."""

    def draw(ax: "Axes") -> None:
        ax.set_axis_off()
        ax.margins(0.05, 0.5)
        ax.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], markersize=5, **dict(style))

    return _svg(draw, SWATCH, (0, 0, 1, 1))


def drawn(draw: Callable[["Axes"], Any], size: tuple[float, float], alt: str, prefix: str) -> Markup:
    """What a function draws on axes, as SVG to be put into a page.

    Parameters
    ----------
    draw : callable
        Draws on the axes that it gets. Legend and title are taken away: the report has keys and captions.
    size : (float, float)
        In inches.
    alt : str
        What the figure shows, for those who do not see it; "" if it is only decoration.
    prefix : str
        Put before all names in the SVG, which are to be unique in the page.
    """
    return _embedded(_svg(draw, size, _place(size)), alt, prefix)


def _svg(draw: Callable[["Axes"], Any], size: tuple[float, float], place: tuple[float, float, float, float]) -> str:
    import matplotlib.style
    from matplotlib.figure import Figure as Canvas

    buffer = io.StringIO()
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has other fonts
        canvas: Any = Canvas(figsize=size)
        ax: Axes = canvas.add_axes(place)
        draw(ax)
        ax.set_title("")
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
        nobody = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        canvas.savefig(buffer, format="svg", transparent=True, metadata=nobody, dpi=150)
    return buffer.getvalue()


def _place(size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of axes within a figure, in parts of it."""
    (width, height), m = size, MARGINS
    across, up = width - m["left"] - m["right"], height - m["bottom"] - m["top"]
    return m["left"] / width, m["bottom"] / height, across / width, up / height


def _embedded(text: str, alt: str, prefix: str) -> Markup:
    """An SVG file as part of a page: without its head, with names of its own, and in the page's black and white."""
    head, body = text[text.index("<svg") :].split(">", 1)
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    if view is None:  # pragma: no cover - matplotlib always says so
        raise ValueError("matplotlib's SVG has no viewBox")
    for old, new in INKS.items():
        body = body.replace(old, new)
    body = re.sub(r'((?: id="|url\(#|href="#))', rf"\g<1>{prefix}-", body)
    width, height = (float(number) for number in view.groups())
    label = Markup('role="img" aria-label="{}"').format(alt) if alt else Markup('aria-hidden="true"')
    opening = Markup('<svg viewBox="0 0 {0:g} {1:g}" {2} ').format(width, height, label)
    names = Markup('xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">')
    return opening + names + Markup(body)  # matplotlib has escaped the texts in it
