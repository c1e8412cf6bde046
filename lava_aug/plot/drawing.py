"""Shared by all figures: axes, colours, markers, and labels that are shown literally."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that colour-blind people can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

MARKERS = ("s", "^", "o", "D", "v", "P")
LINES = ("-", "-.", ":")

ENERGY = "estimated energy per image (nJ)"
EVENTS = "events per image (input left out)"
OPERATIONS = "synaptic operations per image"
STEPS = "time steps per image"
ACCURACY = "accuracy (%)"


def powers_of_two(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … and the largest.

    >>> powers_of_two(20)
    (1, 2, 4, 8, 16, 20)
    """
    return (*(1 << k for k in range((largest - 1).bit_length())), largest)


def axes_for(ax: "Axes | None", size: tuple[float, float]) -> "Axes":
    """The given axes, or those of a new figure of ``size`` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return cast(Any, plt).subplots(figsize=size, layout="constrained")[1]


def style_of(index: int) -> dict[str, Any]:
    """Colour, marker and line of one row among several; six differ in colour and marker, more of them in the line."""
    line = LINES[index // len(COLORS) % len(LINES)]
    return {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)], "linestyle": line}


def plain(text: str) -> str:
    """A text as matplotlib shows it letter by letter: no formula between dollars, no label that legends leave out."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def draw_ann(ax: "Axes", accuracy: float) -> None:
    """The ANN's accuracy as a line from side to side."""
    ax.axhline(100 * accuracy, color="black", linestyle="--", linewidth=1, label="ANN")


def log_axis(ax: "Axes", values: Any) -> None:
    """A logarithmic horizontal axis with ticks such as 500, 2k and 1M; a linear one if nothing is positive."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    positive = np.asarray(values, float)
    positive = positive[positive > 0]
    if not len(positive):
        return
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(short))
    narrow = positive.max() < 100 * positive.min()
    ax.xaxis.set_minor_formatter(FuncFormatter(_some) if narrow else NullFormatter())


def short(x: float, place: int | None = None) -> str:
    """A number with few letters, as matplotlib's formatters give it.

    >>> short(20_000), short(0.05)
    ('20k', '0.05')
    """
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")(x) if x >= 1 else f"{x:g}"


def _some(x: float, place: int | None = None) -> str:
    """Ticks between powers of ten: 2 and 5 alone have room for their number."""
    return short(x) if f"{x:e}"[0] in "25" else ""
