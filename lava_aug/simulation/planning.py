"""The bit widths that a network needs: ranges of potentials, payloads and input currents, on images and at worst."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import NetworkError
from lava_aug.core.images import Images, Payloads, Progress, check_network, check_num_steps
from lava_aug.core.network import INPUT_LEVELS, Layer, Network
from lava_aug.core.results import only_sinks
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.core.walks import images_per_batch, walk
from lava_aug.simulation.courses import Course
from lava_aug.simulation.simulator import Simulator

Extent = tuple[int, int]
"""Smallest and largest value."""


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """What one layer needs.

    Attributes
    ----------
    name : str
        The layer.
    weight_bits : int or None
        Signed bit width of its weights, without the power of two that a connection shares; None if it has none.
    current, v, payload : (int, int) or None
        Smallest and largest input current, potential before firing, and spike coefficient on images; None without.
    worst_current, worst_v, worst_payload : int
        Magnitudes that cannot be exceeded, whatever the images.
    state_limit, payload_limit : int
        The largest magnitudes of a 24-bit state, and of the neuron's payload (0 for readouts).
    problems : tuple of str
        What did not fit on the images, and what to do.
    """

    name: str
    weight_bits: int | None
    current: Extent | None
    v: Extent | None
    payload: Extent | None
    worst_current: int
    worst_v: int
    worst_payload: int
    state_limit: int
    payload_limit: int
    problems: tuple[str, ...]

    @property
    def free_bits(self) -> int | None:
        """Bits of the state that the images left unused; None without images."""
        if self.v is None:
            return None
        return fixed_point.STATE_BITS - 1 - max(abs(self.v[0]), abs(self.v[1])).bit_length()

    @property
    def is_safe(self) -> bool:
        """Whether nothing can overflow, whatever the images."""
        return self.worst_v <= self.state_limit and self.worst_payload <= self.payload_limit


@dataclasses.dataclass(frozen=True, repr=False)
class Plan(Tabular):
    """What every layer of a network needs for ``num_steps`` time steps; `str` makes a table of it."""

    num_steps: int
    num_images: int
    layers: tuple[LayerPlan, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What did not fit on the images."""
        return tuple(problem for layer in self.layers for problem in layer.problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def _facts(self) -> str:
        seen = counted(self.num_images, "image") if self.num_images else "no images"
        return (
            f"{counted(len(self.layers), 'layer')}, {counted(self.num_steps, 'time step')}, {seen}, "
            f"{counted(len(self.problems), 'problem')}"
        )

    def tables(self) -> tuple[Table]:
        """Ranges and widths of every layer, and what did not fit."""
        head = ["layer", "weight bits", "v", "free bits", "payload", "current", "worst v", "worst payload", "fits"]
        seen = f"on {counted(self.num_images, 'image')}" if self.num_images else "no images: worst case only"
        caption = f"{counted(self.num_steps, 'time step')}, {fixed_point.STATE_BITS}-bit state, {seen}"
        rows = [self._row(layer) for layer in self.layers]
        return (Table(head, rows, caption, "\n".join(self.problems), left=("v", "payload", "current", "fits")),)

    @staticmethod
    def _row(layer: LayerPlan) -> list[str]:
        verdict = (
            "no" if layer.problems else "always" if layer.is_safe else "yes" if layer.v else "not in the worst case"
        )
        return [
            layer.name,
            _or_dash(layer.weight_bits),
            _extent(layer.v),
            _or_dash(layer.free_bits),
            _extent(layer.payload),
            _extent(layer.current),
            f"{layer.worst_v:,}",
            f"{layer.worst_payload:,}",
            verdict,
        ]


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)


def _extent(extent: Extent | None) -> str:
    return "-" if extent is None else f"{extent[0]:,} .. {extent[1]:,}"


def plan(
    net: Network,
    images: Images | None = None,
    num_steps: int | None = None,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Determine the bit widths that a network needs, before it is deployed.

    Parameters
    ----------
    net : Network
        A fixed-point network.
    images : Images, optional
        Typical images, as for `lava_aug.simulate`. Without them only the worst case is computed.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    batch_size, progress
        As for `lava_aug.simulate`.

    Returns
    -------
    Plan
        For every layer the ranges on the images and in the worst case, and what does not fit.

    Raises
    ------
    NetworkError
        If the network computes in floating point, which has no widths.
    InputError
        As `lava_aug.simulate`.

    Notes
    -----
    The worst case assumes that everywhere the largest payloads coincide with the signs of the weights: with ``S`` the
    largest payload of a source, ``|a| <= weight_sum * S`` summed over connections, ``|v| <= |v0| + num_steps * (|a| +
    |b|)``, and the payload of one step is at most ``floor((vth - 1 + |a| + |b|) / vth) + 1``. It grows from layer to
    layer, so deep networks are rarely safe in the worst case; real images come nowhere near it.
    """
    check_network(net)
    if net.is_float:
        raise NetworkError("plan: the network computes in floating point, which has no widths to plan")
    steps = check_num_steps(net, num_steps)
    extents = {layer.name: _Extents() for layer in net}
    count = 0
    if images is not None:
        x, simulator = Payloads(net, images), Simulator(net)
        for batch in x.batches(images_per_batch(net, batch_size), progress):
            simulator.run(batch, Course(steps), look=lambda layer, a, s, v: extents[layer.name].look(layer, a, s, v))
        count = x.count
    worst = walk(net, INPUT_LEVELS, _worst_current, _worst_payload)
    layers = (_layer_plan(net, layer, extents[layer.name] if count else None, a, steps) for layer, a, _ in worst)
    return Plan(steps, count, tuple(layers))


def with_fitting_payloads(net: Network, images: Images, num_steps: int | None = None) -> Network:
    """The network with payloads for `fixed_point.SPARE` times the coefficients that images give, whatever they were."""
    wide = _with_payloads(net, dict.fromkeys(net.shapes, fixed_point.MAX_MESSAGE_BITS))
    extents = {layer.name: layer.payload or (0, 0) for layer in plan(wide, images, num_steps).layers}
    largest = {name: max(high, -low) for name, (low, high) in extents.items()}
    # Nothing is known of what sends nothing.
    return _with_payloads(net, {name: fixed_point.payload_bits(most) for name, most in largest.items() if most})


def _with_payloads(net: Network, bits: Mapping[str, int]) -> Network:
    def made(layer: Layer) -> Layer:
        graded = layer.neuron.graded and layer.name in bits
        return layer.replace(neuron=layer.neuron.replace(message_bits=bits[layer.name])) if graded else layer

    return net.replace(layers=tuple(map(made, net)))


def _worst_current(layer: Layer, payloads: list[int]) -> int:
    return math.ceil(sum(c.synapse.weight_sum * s for c, s in zip(layer.connections, payloads, strict=True)))


def _with_bias(layer: Layer, current: int) -> int:
    return current + (0 if layer.bias is None else int(np.abs(layer.bias).max()))


def _worst_payload(layer: Layer, current: int) -> int:
    return min(layer.neuron.wanted(_with_bias(layer, current)), layer.neuron.coefficient_limit)


class _Extents:
    """Ranges of one layer, batch by batch."""

    def __init__(self) -> None:
        self.current: Extent | None = None
        self.v: Extent | None = None
        self.payload: Extent | None = None

    def look(self, layer: Layer, a: torch.Tensor, s: torch.Tensor, v: NDArray[Any]) -> None:
        """Take in one step."""
        self.current = _wider(self.current, a)
        spikes = s.cpu().numpy()
        self.v = _wider(self.v, layer.neuron.peak(v.astype(np.float64), spikes.astype(np.float64)))
        self.payload = _wider(self.payload, spikes) if layer.neuron.fires else (0, 0)


def _wider(extent: Extent | None, values: Any) -> Extent:
    low, high = int(values.min()), int(values.max())
    return (low, high) if extent is None else (min(low, extent[0]), max(high, extent[1]))


def _layer_plan(net: Network, layer: Layer, extents: _Extents | None, current: int, num_steps: int) -> LayerPlan:
    neuron, most = layer.neuron, _with_bias(layer, current)
    weights: list[Any] = [c.synapse for c in layer.connections if c.synapse.num_weights]
    made = LayerPlan(
        name=layer.name,
        weight_bits=max(synapse.mantissa_bits for synapse in weights) if weights else None,
        current=extents.current if extents else None,
        v=extents.v if extents else None,
        payload=extents.payload if extents else None,
        worst_current=current,
        worst_v=neuron.reach(most, num_steps),
        worst_payload=neuron.wanted(most),
        state_limit=fixed_point.symmetric_limit(fixed_point.STATE_BITS),
        payload_limit=neuron.coefficient_limit,
        problems=(),
    )
    return dataclasses.replace(made, problems=tuple(_problems(net, layer, made)))


def _problems(net: Network, layer: Layer, made: LayerPlan) -> list[str]:
    """What has reached its limit on the images: where it was clipped, it is at the limit."""
    problems: list[str] = []
    if made.v is not None and max(made.v[1], 0 if only_sinks(layer) else -made.v[0]) >= made.state_limit:
        problems.append(
            f"layer {layer.name!r}: v reaches the {fixed_point.STATE_BITS}-bit limit {made.state_limit:,}; use fewer "
            f"time steps than {net.num_steps}, fewer weight bits, or a coarser resolution than {net.resolution:g}"
        )
    if (
        made.payload is not None
        and layer.neuron.graded
        and max(-made.payload[0], made.payload[1]) >= made.payload_limit
    ):
        bits = made.payload_limit.bit_length() + 1
        problems.append(
            f"layer {layer.name!r}: spikes reach the {bits}-bit payload's limit {made.payload_limit:,}; use more "
            f"message bits (up to {fixed_point.MAX_MESSAGE_BITS}), or a coarser resolution than {net.resolution:g}"
        )
    return problems
