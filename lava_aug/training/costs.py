"""What the spikes of a forward pass cost: events, synaptic operations or energy, as `simulate` counts them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch

from lava_aug.core.errors import InputError
from lava_aug.core.network import INPUT, Network
from lava_aug.core.prices import Prices, prices
from lava_aug.training.gradients import events
from lava_aug.training.layers import StudentConnection

Objective = Literal["events", "operations", "energy"]
"""What is to be saved: events of all layers, not the input's; synaptic operations, and those that the input causes;
or the energy that `lava_aug.experiments` estimates, in nJ."""


class Tariff(NamedTuple):
    """What is counted, by layer.

    Attributes
    ----------
    each : dict of str to torch.Tensor
        What an event of each neuron costs, of the input and of layers that send: float64, broadcasts to them.
    steady : dict of str to float
        What a layer costs in every step, whatever is sent.
    """

    each: dict[str, torch.Tensor]
    steady: dict[str, float]


def check_objective(objective: str) -> None:
    """InputError if it is none."""
    if objective not in get_args(Objective):
        raise InputError(f"objective: expected one of {', '.join(get_args(Objective))}, found {objective!r}")


def tariff(objective: Objective, net: Network, connections: Sequence[StudentConnection], one: torch.Tensor) -> Tariff:
    """The prices of a network.

    Parameters
    ----------
    objective : {"events", "operations", "energy"}
        What is counted.
    net : Network
        Of which only energy asks for weights and thresholds.
    connections : sequence of StudentConnection
        All of them, in the order of its layers.
    one : torch.Tensor
        The number 1, in float64, on the device of the student.
    """
    firing = [layer.name for layer in net if layer.neuron.fires]
    if objective == "events":
        return Tariff(dict.fromkeys(firing, one), {})
    found = prices(net).in_nanojoules() if objective == "energy" else Prices(np.ones(len(connections)), {}, {})
    each = dict.fromkeys([INPUT, *firing], one * 0) | {name: one * price for name, price in found.events.items()}
    for price, connection in zip(found.operations.tolist(), connections, strict=True):
        each[connection.source] = each[connection.source] + price * connection.fan_out.double()
    return Tariff(each, dict(found.steps))


def totals(rates: Tariff, passes: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """What each layer costs for all images together, from the sums of coefficients after every step, by name."""
    found = {name: _total([sent[name] for sent in passes], price) for name, price in rates.each.items()}
    times = len(passes) * len(passes[0][INPUT])
    none = passes[0][INPUT].new_zeros((), dtype=torch.float64)
    return found | {name: found.get(name, none) + times * price for name, price in rates.steady.items()}


def _total(sums: Sequence[torch.Tensor], price: torch.Tensor) -> torch.Tensor:
    steps = [sums[0], *(after - before for before, after in pairwise(sums))]
    counts = [events(s).sum(0).double() for s in steps]  # float32 counts up to 2**24 images
    return (torch.stack(counts).sum(0) * price).sum()
