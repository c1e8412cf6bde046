"""The figure of a network: its layers by depth, and their connections."""

import math
from textwrap import shorten
from typing import TYPE_CHECKING

from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.plot.drawing import COLORS, axes_for, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE, ROW = 3.6, 0.55
"""Width and height of a layer's place, in inches."""

LONGEST = 44
"""Letters of a layer's description that have room there."""

BULGE = 0.68
"""How far the curves of connections that skip layers are pulled, in lanes; they get three quarters as far."""


def network_graph(net: Network, ax: "Axes | None" = None) -> "Axes":
    """The layers of a network as boxes, arranged vertically by depth, and their connections as lines.

    A connection that skips layers, such as that of a residual sum, curves out to the right and is dashed.

    Parameters
    ----------
    net : Network
        What to draw.
    ax : matplotlib Axes, optional
        Where to draw; the default is large enough for all layers.
    """
    places = layer_places(net)
    lanes = [x for x, _ in places.values()]
    ax = axes_for(ax, (LANE * (max(lanes) - min(lanes) + 1.4), ROW * (net.depth + 1.5) + 0.6))
    for layer in net:
        for source, _ in layer.connections:
            _connect(ax, places[source], places[layer.name])
    for name, (x, depth) in places.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
        ax.text(x, depth, plain(_describe(net, name)), ha="center", va="center", fontsize="small", bbox=box)
    ax.set_xlim(min(lanes) - 0.6, max(lanes) + 0.8)
    ax.set_ylim(net.depth + 0.7, -0.7)
    ax.set_xticks([])
    ax.set_yticks(range(0, net.depth + 1, math.ceil((net.depth + 1) / 30)))
    ax.set_ylabel("depth (synapses from the images, longest path)")
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    if any(line.get_linestyle() == "--" for line in ax.patches):
        _explain(ax)
    return ax


def layer_places(net: Network) -> dict[str, tuple[float, int]]:
    """Lane and depth of the input and of every layer; layers of one depth are beside each other, at distances of 1."""
    places: dict[str, tuple[float, int]] = {INPUT: (0.0, 0)}
    for depth in range(1, net.depth + 1):
        wanted = sorted((_below(layer, places), layer.name) for layer in net if net.depths[layer.name] == depth)
        middle = sum(lane for lane, _ in wanted) / len(wanted)
        for index, (_, name) in enumerate(wanted):
            places[name] = middle + index - (len(wanted) - 1) / 2, depth
    return places


def _below(layer: Layer, places: dict[str, tuple[float, int]]) -> float:
    """The lane in the middle of a layer's deepest sources."""
    positions = [places[source] for source, _ in layer.connections]
    deepest = max(depth for _, depth in positions)
    lanes = [lane for lane, depth in positions if depth == deepest]
    return sum(lanes) / len(lanes)


def _connect(ax: "Axes", source: tuple[float, int], target: tuple[float, int]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = source, target
    if y1 - y0 == 1:
        path, style = Path([(x0, y0), (x1, y1)]), {"color": "black", "linestyle": "-"}
    else:
        out = max(x0, x1) + BULGE
        path = Path([(x0, y0), (out, y0), (out, y1), (x1, y1)], [Path.MOVETO, *[Path.CURVE4] * 3])
        style = {"color": COLORS[1], "linestyle": "--"}
    ax.add_patch(PathPatch(path, fill=False, linewidth=1.3, zorder=1, **style))


def _describe(net: Network, name: str) -> str:
    size = "x".join(map(str, net.shapes[name]))
    if name == INPUT:
        return f"{INPUT}\n{size}"
    layer = net[name]
    synapses = " + ".join(connection.synapse.describe() for connection in layer.connections)
    return f"{shorten(name, LONGEST)}: {size}\n{shorten(f'{synapses}, {layer.neuron.describe()}', LONGEST)}"


def _explain(ax: "Axes") -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color="black", label="to the next layer"),
        Line2D([], [], color=COLORS[1], linestyle="--", label="past other layers"),
    ]
    ax.legend(handles=lines, fontsize="small", loc="upper right")
