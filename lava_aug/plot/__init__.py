"""Figures. Every function draws on the given axes, or on new ones, and returns them."""

from lava_aug.plot.activity import coefficient_histogram, neuron_trace, raster
from lava_aug.plot.comparisons import (
    accuracy_over_events,
    accuracy_over_steps,
    bars,
    curves,
    early_exit,
    error_over_steps,
    layer_error,
    pareto,
    search,
    training,
)
from lava_aug.plot.drawing import COLORS, MARKERS
from lava_aug.plot.networks import network_graph

__all__ = [
    "COLORS",
    "MARKERS",
    "accuracy_over_events",
    "accuracy_over_steps",
    "bars",
    "coefficient_histogram",
    "curves",
    "early_exit",
    "error_over_steps",
    "layer_error",
    "network_graph",
    "neuron_trace",
    "pareto",
    "raster",
    "search",
    "training",
]
