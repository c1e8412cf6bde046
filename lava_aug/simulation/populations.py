"""The neurons of a layer, in torch, for a batch: compiled on a CPU, otherwise by `Neuron.step`.

Both kinds take the input current of a step and give the spikes, together with the counts of
`lava_aug.kernels.counting`.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape
from lava_aug.core.network import Layer
from lava_aug.core.neurons import State, initial_state
from lava_aug.kernels.compiled import COMPILED, compiled_population, is_compiled
from lava_aug.kernels.counting import EVENTS, FanOut, count
from lava_aug.kernels.threads import Threads


class Population(Protocol):
    """Neurons of one layer for a batch of images.

    Attributes
    ----------
    counts : numpy.ndarray
        Of the last step, int64 ``(batch, 5)``; columns as in `lava_aug.kernels.counting`.
    """

    counts: NDArray[Any]

    def step(self, a: torch.Tensor) -> torch.Tensor:
        """Spikes for input currents, both ``(batch, *shape)``; the result is overwritten by the next step."""
        ...

    def potential(self) -> NDArray[Any]:
        """``v`` after the last step."""
        ...

    def keep(self, rows: NDArray[Any]) -> None:
        """Go on with those images only for which ``rows (batch,)``, bool, says so."""
        ...

    def operations(self, fan_out: FanOut) -> NDArray[Any]:
        """For each image, the synaptic operations that the last step caused."""
        ...


class TorchPopulation:
    """By `Neuron.step`, for any neuron on any device.

    Integers are carried in float32 only where that is known to be exact: in neurons that have a compiled form, which
    is held against the specification in float32 (see `lava_aug.kernels.compiled`). In others nobody knows how large
    a product is on the way, or whether a shift is one in floats. They get integers of 64 bits, as the specification.
    """

    def __init__(self, layer: Layer, shape: Shape, batch: int, num_steps: int, device: torch.device) -> None:
        self.neuron = layer.neuron
        bias = np.zeros(()) if layer.bias is None else layer.bias
        sum_bits = fixed_point.exact_bits(num_steps * layer.neuron.coefficient_limit)
        in_floats = layer.neuron.is_float or type(layer.neuron) in COMPILED
        self.dtype = torch.float32 if in_floats else torch.int64
        sums = self.dtype if sum_bits == 32 or not in_floats else torch.float64
        v, n, _ = initial_state(layer.neuron, shape)
        self.bias = torch.tensor(bias, dtype=self.dtype, device=device)
        self.state = State(
            torch.tensor(v, dtype=self.dtype, device=device).repeat(batch, *[1] * v.ndim),
            torch.tensor(n, dtype=sums, device=device).repeat(batch, *[1] * n.ndim),
        )
        self.counts = np.zeros((batch, 5), np.int64)
        self.s = self.state.n

    def step(self, a: torch.Tensor) -> torch.Tensor:
        """Spikes for input currents."""
        step = self.neuron.step(self.state, a if self.dtype.is_floating_point else a.to(self.dtype), self.bias)
        self.state, self.s = step.state, step.s
        self.counts = count(step.s, step.saturated, step.capped)
        return step.s if self.dtype.is_floating_point else step.s.to(torch.float32)  # payloads have up to 24 bits

    def potential(self) -> NDArray[Any]:
        """``v`` after the last step."""
        return self.state.v.cpu().numpy()

    def keep(self, rows: NDArray[Any]) -> None:
        """Go on with some images only."""
        chosen = torch.as_tensor(rows).to(self.bias.device)
        self.state = self.state._replace(v=self.state.v[chosen], n=self.state.n[chosen])
        self.counts = self.counts[rows]

    def operations(self, fan_out: FanOut) -> NDArray[Any]:
        """Synaptic operations of the last step."""
        return fan_out.operations(self.s, self.counts[:, EVENTS])


class SharedPopulation:
    """By a compiled form, rows shared among threads."""

    def __init__(self, layer: Layer, shape: Shape, batch: int, threads: Threads) -> None:
        self.compiled = compiled_population(layer.neuron, shape, batch, layer.bias)
        self.counts = self.compiled.counts
        self.shape, self.threads, self.t = shape, threads, 0
        self.s = self._spikes()

    def _spikes(self) -> torch.Tensor:
        return torch.as_tensor(self.compiled.s).view(-1, *self.compiled.sent_shape)

    def step(self, a: torch.Tensor) -> torch.Tensor:
        """Spikes for input currents."""
        currents = a.reshape(len(a), -1).numpy()
        self.t += 1
        self.threads.share(lambda rows: self.compiled.step(currents, self.t, rows), len(currents), currents.size)
        return self.s

    def potential(self) -> NDArray[Any]:
        """``v`` after the last step."""
        return self.compiled.v.reshape(-1, *self.shape)

    def keep(self, rows: NDArray[Any]) -> None:
        """Go on with some images only."""
        self.compiled.keep(rows)
        self.counts, self.s = self.compiled.counts, self._spikes()

    def operations(self, fan_out: FanOut) -> NDArray[Any]:
        """Synaptic operations of the last step."""
        result = np.empty(len(self.counts), np.int64)

        def part(rows: slice) -> None:
            result[rows] = fan_out.operations(self.compiled.s[rows], self.counts[rows, EVENTS])

        self.threads.share(part, len(result), self.compiled.s.size if fan_out.uniform is None else 0)
        return result


def population(
    layer: Layer, shape: Shape, batch: int, num_steps: int, device: torch.device, threads: Threads
) -> Population:
    """The fastest kind that is exact for the layer on the device; ``shape`` is that of the input current."""
    if device.type == "cpu" and is_compiled(layer.neuron, num_steps):
        return SharedPopulation(layer, shape, batch, threads)
    return TorchPopulation(layer, shape, batch, num_steps, device)
