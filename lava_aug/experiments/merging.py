"""Parts of one case -> a row of a comparison: sums of integers, in the order of the images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.network import INPUT, INPUT_LEVELS, Network
from lava_aug.experiments.cases import Case
from lava_aug.experiments.energy import prices
from lava_aug.experiments.parts import Part
from lava_aug.experiments.rows import LayerStatistics, Row
from lava_aug.simulation.courses import early_exits, margins_to_try


def row(case: Case, net: Network, parts: Sequence[Part], sizes: Sequence[int], labels: NDArray[Any]) -> Row:
    """The row of a case.

    Parameters
    ----------
    case : Case
        What was done.
    net : Network
        What ran.
    parts : sequence of Part
        Of successive images.
    sizes : sequence of int
        How many images each part is of.
    labels : numpy.ndarray, shape (B,)
        True classes of all of them.
    """
    count = sum(sizes)
    right = np.concatenate([part["predictions"] for part in parts], axis=1) == labels
    margins = np.concatenate([part["margins"] for part in parts], axis=1)
    events, spike_sum, operations = (_sum(parts, name) for name in ("events", "spike_sum", "operations"))
    firing = [layer.name for layer in net if layer.neuron.fires]
    by_name = {name: events[index + 1] / count for index, name in enumerate(firing)}
    energy = prices(net, _input_limit(case)).energy(operations / count, by_name)
    return Row(
        title=case.title,
        options={"method": net.method, "resolution": net.resolution, **case.options},
        summary=net.summary(),
        accuracy=right.mean(axis=1),
        events=np.cumsum(events[1:].sum(axis=0)) / count,
        spike_sum=np.cumsum(spike_sum[1:].sum(axis=0)) / count,
        synops=np.cumsum(operations.sum(axis=0)) / count,
        energy=np.cumsum(energy),
        layers=_layers(net, events / count, spike_sum / count, operations / count, _coefficients(parts, count)),
        exits=early_exits(margins, right, margins_to_try(margins)),
        overflows=int(sum(int(part["overflows"]) for part in parts)),
        seconds=float(sum(float(part["seconds"]) for part in parts)),
    )


def _sum(parts: Sequence[Part], name: str) -> NDArray[Any]:
    return np.sum([part[name] for part in parts], axis=0, dtype=np.int64)


def _input_limit(case: Case) -> int:
    """The largest payload of the input: all steps' images at once, if they come in the first one."""
    return INPUT_LEVELS * (case.num_steps if case.simulate.get("presentation") == "first" else 1)


def _coefficients(parts: Sequence[Part], count: int) -> dict[int, dict[int, float]]:
    """By index of the layer: mean number of spikes of each coefficient."""
    totals: dict[int, dict[int, int]] = {}
    for part in parts:
        for index, value, number in part["coefficients"].tolist():
            layer = totals.setdefault(index, {})
            layer[value] = layer.get(value, 0) + number
    return {
        index: {value: layer_counts[value] / count for value in sorted(layer_counts)}
        for index, layer_counts in totals.items()
    }


def _layers(
    net: Network,
    events: NDArray[Any],
    spike_sum: NDArray[Any],
    operations: NDArray[Any],
    coefficients: dict[int, dict[int, float]],
) -> dict[str, LayerStatistics]:
    """Of the input and of every layer; the readout sends nothing."""
    none = np.zeros(events.shape[1])
    layers = {INPUT: LayerStatistics(math.prod(net.input_shape), events[0], spike_sum[0], none, {})}
    sent, taken = 0, 0
    for layer in net:
        end = taken + len(layer.connections)
        sent += layer.neuron.fires
        fires = layer.neuron.fires
        layers[layer.name] = LayerStatistics(
            neurons=math.prod(net.shapes[layer.name]),
            events=events[sent] if fires else none,
            spike_sum=spike_sum[sent] if fires else none,
            synops=operations[taken:end].sum(axis=0),
            coefficients=coefficients.get(sent, {}) if fires else {},
        )
        taken = end
    return layers
