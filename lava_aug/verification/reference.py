"""The specification, executed literally: plain steps of `Neuron.step` and sums of `Synapse.accumulate`, in numpy.

Every faster form (torch, BLAS, numba, Lava) is checked against this one. It has no arithmetic of its own, no kernels
and no threads, and it is slow. Integers are int64, in which nothing is rounded, and nothing wraps: networks in which
sums could pass 2**53 are refused when they are made.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import State, Step, initial_state
from lava_aug.core.results import Output, firing_layers, no_counts
from lava_aug.kernels.counting import CAPPED, EVENTS, SATURATED, SPIKE_SUM, count, per_image


class Moment(NamedTuple):
    """One layer in one time step.

    Attributes
    ----------
    t : int
        Step of the window, from 1.
    layer : Layer
        The layer.
    arrived : dict
        Spikes of the layers (and of the input) so far in this step, ``(B, *shape)`` by name.
    a : numpy.ndarray
        Input current, ``(B, *current shape)``.
    before : State
        The state before the step.
    step : Step
        What the step gave: new state, spikes, overflows.
    """

    t: int
    layer: Layer
    arrived: Mapping[str, NDArray[Any]]
    a: NDArray[Any]
    before: State
    step: Step


def moments(net: Network, x: NDArray[Any], num_steps: int) -> Iterator[Moment]:
    """Every layer in every time step, in order, for a batch of images.

    Parameters
    ----------
    net : Network
        What to run.
    x : array, shape (B, *net.input_shape)
        Input payloads, as from `lava_aug.core.images.payloads`.
    num_steps : int
        Time steps per image.
    """
    dtype = _number_format(net)
    states = {layer.name: _states(net, layer, len(x)) for layer in net}
    spikes: dict[str, NDArray[Any]] = {INPUT: x.astype(dtype)}
    for t in range(1, num_steps + 1):
        for layer in net:
            a = np.sum([c.synapse.accumulate(spikes[c.source]) for c in layer.connections], axis=0)
            bias = np.zeros((), dtype) if layer.bias is None else layer.bias.astype(dtype)
            before = states[layer.name]
            step = layer.neuron.step(before, a, bias)
            yield Moment(t, layer, spikes, a, before, step)
            states[layer.name], spikes[layer.name] = step.state, step.s


def _number_format(net: Network) -> DTypeLike:
    return np.float64 if net.is_float else np.int64


def _states(net: Network, layer: Layer, batch: int) -> State:
    v, n, t = initial_state(layer.neuron, net.current_shapes[layer.name])
    return State(np.repeat(v[None], batch, axis=0), np.repeat(n[None], batch, axis=0), t)


def interpret(net: Network, x: NDArray[Any], num_steps: int) -> Output:
    """What `lava_aug.simulate` gives with every spike recorded, from the specification alone.

    Parameters
    ----------
    net : Network
        What to run.
    x : array, shape (B, *net.input_shape)
        Input payloads, as from `lava_aug.core.images.payloads`.
    num_steps : int
        Time steps per image.

    Returns
    -------
    Output
        With the spikes of all layers and the input; ``v`` of a floating-point network is float64.
    """
    log = _Log(net, x, num_steps)
    for moment in moments(net, x, num_steps):
        log.note(moment)
    return log.output


class _Log:
    """Fills an `Output`, moment by moment."""

    def __init__(self, net: Network, x: NDArray[Any], num_steps: int) -> None:
        size = (num_steps, len(x))
        spikes = {name: np.zeros((*size, *net.shapes[name]), np.int32) for name in firing_layers(net)}
        v = np.zeros((*size, *net.shapes[net.readout.name]), _number_format(net))
        counts: dict[str, Any] = no_counts(net, *size)
        self.output = Output(network=net, v=v, spikes=spikes, **counts)
        self.fan_out = {layer.name: [_fan_out(net, connection) for connection in layer.connections] for layer in net}
        shown = x.astype(v.dtype)
        for t in range(num_steps):
            self._sent(t, INPUT, shown, count(shown))

    def note(self, moment: Moment) -> None:
        """One layer's step."""
        t, name, step = moment.t - 1, moment.layer.name, moment.step
        self.output.synops[name][t] = self._operations(name, moment.arrived)
        counts = count(step.s, step.saturated, step.capped)
        self.output.saturated[name][t], self.output.capped[name][t] = counts[:, SATURATED], counts[:, CAPPED]
        if moment.layer.neuron.fires:
            self._sent(t, name, step.s, counts)
        else:
            self.output.v[t] = step.state.v

    def _sent(self, t: int, name: str, s: NDArray[Any], counts: NDArray[Any]) -> None:
        self.output.spikes[name][t] = s
        self.output.events[name][t], self.output.spike_sum[name][t] = counts[:, EVENTS], counts[:, SPIKE_SUM]

    def _operations(self, name: str, arrived: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Events, each as often as there are synapses from its neuron into a layer."""
        return np.sum([per_image((arrived[source] != 0) * counts) for source, counts in self.fan_out[name]], axis=0)


def _fan_out(net: Network, connection: Connection) -> tuple[str, NDArray[Any]]:
    return connection.source, connection.synapse.connectivity(net.shapes[connection.source]).fan_out
