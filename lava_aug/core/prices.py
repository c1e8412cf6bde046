"""What single operations of a network cost in 45 nm silicon, in pJ: `lava_aug.experiments.energy` says what is counted.

Additions and multiplications are M. Horowitz's, "1.1 Computing's energy problem (and what we can do about it)", IEEE
ISSCC 2014, pp. 10-14, `doi 10.1109/ISSCC.2014.6757323 <https://doi.org/10.1109/ISSCC.2014.6757323>`_ (45 nm, 0.9 V).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.network import INPUT, INPUT_LEVELS, Connection, Layer, Network
from lava_aug.core.neurons import Cost
from lava_aug.core.walks import walk

ADDITION = 0.1
"""pJ, 32-bit integer."""

PRODUCT_8_BIT = 0.2
"""pJ, 8 by 8 bits."""

FLOAT_ADDITION, FLOAT_PRODUCT = 0.9, 3.7
"""pJ, 32-bit floating point."""


def product(bits: int, other_bits: int) -> float:
    """pJ of a product of two integers.

    >>> product(8, 8), product(32, 32)
    (0.2, 3.2)
    """
    return PRODUCT_8_BIT * bits * other_bits / 64


def payload_limits(net: Network, input_limit: int = INPUT_LEVELS) -> dict[str, int]:
    """Largest magnitude that the spikes of the input, and of each layer, can have."""
    walked = walk(net, input_limit, lambda _, limits: max(limits), lambda layer, most: layer.neuron.sent_limit(most))
    return {INPUT: input_limit, **{layer.name: limit for layer, _, limit in walked}}


@dataclasses.dataclass(frozen=True)
class Prices:
    """What operations of a network cost, in pJ.

    Attributes
    ----------
    operations : numpy.ndarray
        A synaptic operation of each connection, in the order of the network's layers and their connections.
    events : mapping of str to float
        An event of each layer, for its reset.
    steps : mapping of str to float
        A time step of all neurons of each layer together, without their events.
    """

    operations: NDArray[Any]
    events: Mapping[str, float]
    steps: Mapping[str, float]

    @property
    def step(self) -> float:
        """A time step of all neurons together, without their events."""
        return sum(self.steps.values())

    def in_nanojoules(self) -> "Prices":
        """The same in nJ."""
        events, steps = ({name: p / 1000 for name, p in each.items()} for each in (self.events, self.steps))
        return Prices(self.operations / 1000, events, steps)

    def energy(self, operations: NDArray[Any], events: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """nJ in every step, ``(T,)``.

        Parameters
        ----------
        operations : numpy.ndarray, shape (connections, T)
            Synaptic operations.
        events : mapping of str to numpy.ndarray
            Events of each layer, ``(T,)``.
        """
        resets = sum((price * events[name] for name, price in self.events.items()), np.zeros(operations.shape[1]))
        return (self.operations @ operations + resets + self.step) / 1000


def prices(net: Network, input_limit: int = INPUT_LEVELS) -> Prices:
    """Price a network's operations.

    Parameters
    ----------
    net : Network
        Fixed or floating point.
    input_limit : int
        The largest payload of the input.
    """
    limits = payload_limits(net, input_limit)
    addition = FLOAT_ADDITION if net.is_float else ADDITION
    resets = {layer.name: layer.neuron.event_cost for layer in net if layer.neuron.event_cost != Cost()}
    return Prices(
        operations=np.array([addition + _product(net, c, limits[c.source]) for each in net for c in each.connections]),
        events={name: addition * cost.additions + _products(net, cost) for name, cost in resets.items()},
        steps={layer.name: _step(net, layer, addition) for layer in net},
    )


def _step(net: Network, layer: Layer, addition: float) -> float:
    """pJ of a time step of a layer's neurons."""
    costs = layer.neuron.costs(net.current_shapes[layer.name])
    return sum((addition * cost.additions + _products(net, cost)) * count for cost, count in costs)


def _products(net: Network, cost: Cost) -> float:
    """pJ of the products in what a neuron does."""
    return sum(FLOAT_PRODUCT if net.is_float else product(*widths) for widths in cost.products)


def _product(net: Network, connection: Connection, limit: int) -> float:
    """pJ of the product in one synaptic operation, for spikes up to ``limit``; 0 if there is none."""
    if limit <= 1 or not connection.synapse.multiplies:
        return 0.0
    if net.is_float:
        return FLOAT_PRODUCT
    signed = connection.source != INPUT
    return product(limit.bit_length() + signed, connection.synapse.mantissa_bits)
