"""Layers of a student: float parameters in the model's units, and the integers that they are at the moment."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape
from lava_aug.core.network import Connection, Layer
from lava_aug.core.neurons import MAX_VTH, AugmentedNeuron, MaxPoolNeuron, Neuron, ReadoutNeuron
from lava_aug.core.spec import Spec, entered
from lava_aug.core.synapse import Weighted
from lava_aug.training.gradients import floored, quotient, rounded, scaled, through
from lava_aug.training.moving import Moves, places_of, taken, unit_of
from lava_aug.training.sums import sum_of

Quanta = Mapping[str, torch.Tensor]
"""By name: what a unit of the spikes of the input, or of a layer, stands for, in float64."""


class Integers(NamedTuple):
    """What a layer computes with: whole numbers, in floats, and gradients to what they were rounded from."""

    weights: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    v0: torch.Tensor
    vth: torch.Tensor


def _exponent(weights: NDArray[Any], bits: int) -> tuple[int, int]:
    """The power of two that divides weights of more bits than they may have, and the limit of what is left of them."""
    limit, step = fixed_point.symmetric_limit(bits), 1
    largest = int(np.abs(weights).max())
    while largest > limit * step and not (weights % (2 * step)).any():
        step *= 2
    return step, max(limit, largest // step)


class StudentConnection(nn.Module):
    """A synapse whose weights may move: ``W_int = step * clip(round(W * quantum_in / unit / step), -limit, limit)``.

    ``step`` is 1, or the power of two that conversion has given weights that meet finer ones.

    Parameters
    ----------
    connection : Connection
        As converted.
    wide : tuple of int
        Shape of the spikes.
    quantum, unit : numpy.ndarray, float64
        What a unit of the spikes, and of the potential, stands for; None if weights stay as they are.
    bits : int
        Width of weights.
    """

    fan_out: torch.Tensor
    columns: torch.Tensor | None
    rows: torch.Tensor | None

    def __init__(
        self, connection: Connection, wide: Shape, quantum: NDArray[Any], unit: NDArray[Any] | None, bits: int
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.source, self.synapse = connection
        self.sum, weights = sum_of(self.synapse, wide)
        fan_out = self.synapse.connectivity(wide).fan_out.astype(np.float32)
        self.register_buffer("fan_out", torch.tensor(fan_out), persistent=False)
        self.moves = unit is not None
        if unit is None:
            self.register_buffer("weight", weights, persistent=False)
            return
        places = places_of(cast(Weighted, self.synapse), wide, quantum, unit)
        self.step, self.limit = _exponent(self.synapse.weights.astype(np.int64), bits)
        for name, found in (("columns", places.quantum), ("rows", places.unit)):
            self.register_buffer(name, None if found is None else torch.tensor(found), persistent=False)
        real = weights.numpy() * taken(unit, places.unit) / taken(quantum, places.quantum)
        self.weight = nn.Parameter(torch.tensor(real, dtype=torch.float32))

    def integers(self, quantum: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """The weights, in floats."""
        if not self.moves:
            return self.weight
        factors = taken(quantum, self.columns) / taken(unit, self.rows) / self.step
        exact = torch.float32 if self.limit < 1 << 18 else torch.float64  # products are as good as that there
        k = rounded(self.weight.to(exact) * factors.to(exact))
        return k.clamp(-self.limit, self.limit) * self.step

    def kept(self) -> bytes:
        """What of it stays, in bytes."""
        if not self.moves:
            return in_bytes(self.synapse)
        without = cast(Weighted, self.synapse).replace(weight=np.zeros_like(self.synapse.weights, np.int8))
        return in_bytes(without) + f"{self.step} {self.limit}".encode()

    def made(self, weights: torch.Tensor) -> Connection:
        """The connection of a network."""
        if not self.moves:
            return Connection(self.source, self.synapse)
        return Connection(self.source, cast(Weighted, self.synapse).replace(weight=whole(weights)))


def whole(x: torch.Tensor) -> NDArray[Any]:
    """Whole numbers in floats, as integers."""
    return x.detach().to(torch.int64).cpu().numpy()


def in_bytes(spec: Spec) -> bytes:
    """Type and parameters of a synapse or neuron."""
    values = [(name, getattr(spec, name)) for name, _ in spec.declarations()]
    arrays = [value for _, value in values if fixed_point.is_array(value)]
    told = [(name, value.shape if fixed_point.is_array(value) else value) for name, value in values]
    return f"{type(spec).__name__} {told}".encode() + b"".join(array.tobytes() for array in arrays)


LAYERS: dict[type[Neuron], type["StudentLayer"]] = {}
"""Layers whose neurons have parameters that move, or another derivative than that of `Neuron.mean`."""


def student_layer(layer: Layer) -> "type[StudentLayer]":
    """The kind of layer for its neurons."""
    return LAYERS.get(type(layer.neuron), StudentLayer)


class StudentLayer(nn.Module):
    """A layer whose neurons stay as they are: ``n`` is what `Neuron.settled` says, its derivative `Neuron.mean`'s.

    Parameters
    ----------
    layer : Layer
        As converted.
    connections : list of StudentConnection
        Its connections.
    moves : Moves
        What can move.
    places : int
        Neurons.
    levels : float
        Coefficients per step that are usual at most.
    """

    quantum0: torch.Tensor
    unit0: torch.Tensor
    residue: torch.Tensor
    fixed_bias: torch.Tensor
    v0: torch.Tensor
    vth0: torch.Tensor

    def __init__(
        self, layer: Layer, connections: list[StudentConnection], moves: Moves, places: int, levels: float
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.name, self.layer, self.moves = layer.name, layer, moves
        self.connections = nn.ModuleList(connections)
        unit = unit_of(layer)
        unit = np.ones(()) if unit is None else unit
        self.register_buffer("quantum0", torch.tensor(layer.quantum, dtype=torch.float64))
        self.register_buffer("unit0", torch.tensor(unit))
        self.threshold = nn.Parameter(torch.zeros(self.quantum0.shape)) if moves.threshold else None
        self.scale = nn.Parameter(torch.zeros(self.unit0.shape)) if moves.scale else None
        stored = sum(c.synapse.num_weights for c in connections)
        largest = max((c.limit for c in connections if c.moves), default=1)
        self.threshold_share = 1 / math.sqrt(places / self.quantum0.numel() * max(levels, 1))
        self.scale_share = 1 / math.sqrt(max(1, stored / self.unit0.numel()) * largest)
        self._keep_bias(unit)
        v0 = torch.tensor(np.asarray(layer.neuron.initial()[0], np.float64))
        self.register_buffer("v0", v0, persistent=False)
        self.register_buffer("vth0", torch.tensor(self._vth0(), dtype=torch.float64), persistent=False)

    def _keep_bias(self, unit: NDArray[Any]) -> None:
        """The bias in the model's units, as float32 and what that loses of it; or as integers."""
        bias = np.zeros(()) if self.layer.bias is None else self.layer.bias.astype(np.float64)
        self.bias = None
        if self.layer.bias is None or not any(self.moves.weights):
            self.register_buffer("fixed_bias", torch.tensor(bias), persistent=False)
            return
        real = torch.tensor(bias * unit)
        self.bias = nn.Parameter(real.float())
        self.register_buffer("residue", real - real.float().double())

    def _vth0(self) -> Any:
        return 0.0

    # Units

    def ratio(self, ratios: Quanta) -> torch.Tensor:
        """How much larger the quantum is than it was converted: 1, what has been learned, or what the source's is."""
        if self.threshold is not None:
            return scaled(self.threshold, self.threshold_share).double().exp()
        return self.quantum0.new_ones(()) if self.moves.follows is None else ratios[self.moves.follows]

    def quantum(self, ratio: torch.Tensor) -> torch.Tensor:
        """What one unit of what it sends stands for."""
        return self.quantum0 * ratio

    def unit(self) -> torch.Tensor:
        """What one unit of its potential stands for."""
        return self.unit0 if self.scale is None else self.unit0 * scaled(self.scale, self.scale_share).double().exp()

    # Integers

    def integers(self, quanta: Quanta) -> Integers:
        """Those of now, for the quanta of the input and of all layers."""
        unit = self.unit()
        weights = tuple(c.integers(quanta[c.source], unit) for c in self.own_connections())
        vth = self.vth(quanta[self.name], unit)
        return Integers(weights, self._bias(unit), self._v0(vth), vth)

    def own_connections(self) -> list[StudentConnection]:
        """Its connections."""
        return [cast(StudentConnection, connection) for connection in self.connections]

    def _bias(self, unit: torch.Tensor) -> torch.Tensor:
        if self.bias is None:
            return self.fixed_bias
        return rounded((self.bias.double() + self.residue) / unit).clamp(
            *fixed_point.signed_range(fixed_point.STATE_BITS)
        )

    def vth(self, quantum: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """The threshold, or 0."""
        return self.vth0

    def _v0(self, vth: torch.Tensor) -> torch.Tensor:
        return self.v0

    # What it computes

    def total(self, sent: Quanta, integers: Integers, t: int) -> torch.Tensor:
        """``u = v0 + t * b + sum of W_int * n``: float32 if all of it, and dividing it, is exact there, or float64."""
        constant = integers.v0 + t * integers.bias
        pairs = list(zip(self.own_connections(), integers.weights, strict=True))
        with torch.no_grad():
            sums = [_largest(sent[c.source]) * c.sum.largest(w).double() for c, w in pairs]
            bound = torch.stack([*sums, constant.abs().amax(), integers.vth.amax()]).sum().item()
        dtype = torch.float32 if bound < 1 << 24 else torch.float64
        u = constant.to(dtype)
        for connection, weight in pairs:
            u = connection.sum(sent[connection.source].to(dtype), weight.to(dtype)) + u
        return u

    def sent(self, u: torch.Tensor, integers: Integers, t: int) -> torch.Tensor:
        """The sum of the spike coefficients after ``t`` steps (readouts: ``v``)."""
        exact = self.layer.neuron.settled(u.detach(), t)
        return through(self.layer.neuron.mean(u / t, clip=True) * t, exact) if u.requires_grad else exact

    def made(self, integers: Integers, quantum: torch.Tensor) -> Layer:
        """The layer of a network."""
        pairs = zip(self.own_connections(), integers.weights, strict=True)
        value = quantum.detach().cpu().numpy()
        return self.layer.replace(
            connections=tuple(c.made(w) for c, w in pairs),
            bias=self.layer.bias if self.bias is None else whole(integers.bias),
            quantum=float(value) if value.ndim == 0 else value,
            neuron=self._neuron(integers),
        )

    def _neuron(self, integers: Integers) -> Neuron:
        return self.layer.neuron

    def kept(self) -> bytes:
        """What of it stays in training, in bytes."""
        bias = None if self.layer.bias is None else "moves" if self.bias is not None else self.layer.bias.tolist()
        told = f"{self.name} {self.layer.sources} {bias}".encode()
        return b"\n".join([told, in_bytes(self._kept_neuron()), *(c.kept() for c in self.own_connections())])

    def _kept_neuron(self) -> Neuron:
        return self.layer.neuron


def _largest(x: torch.Tensor) -> torch.Tensor:
    """The largest magnitude, in float64, which stays on its device."""
    low, high = x.aminmax()
    return torch.maximum(high, -low).double()


@entered(LAYERS, AugmentedNeuron)
class _ThresholdLayer(StudentLayer):
    """``n = clip(floor(u / vth))``, with ``vth = max(1, round(quantum / unit))``."""

    n_max: torch.Tensor | None

    def __init__(self, layer: Layer, *arguments: Any) -> None:
        super().__init__(layer, *arguments)
        neuron = cast(AugmentedNeuron, layer.neuron)
        n_max = None if neuron.n_max is None else torch.tensor(np.asarray(neuron.n_max, np.float64))
        self.register_buffer("n_max", n_max, persistent=False)
        self.starts_at_half = bool(np.array_equal(neuron.initial()[0], neuron.vth // 2))
        self.signed = neuron.signed

    def _vth0(self) -> Any:
        return np.asarray(cast(AugmentedNeuron, self.layer.neuron).vth, np.float64)

    def vth(self, quantum: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        if self.threshold is None and self.scale is None:
            return self.vth0
        return rounded(quantum / unit).clamp(1, MAX_VTH)

    def _v0(self, vth: torch.Tensor) -> torch.Tensor:
        return floored(vth / 2) if self.starts_at_half else self.v0

    def sent(self, u: torch.Tensor, integers: Integers, t: int) -> torch.Tensor:
        high = None if self.n_max is None else (self.n_max * t).to(u.dtype)
        return quotient(u, integers.vth.to(u.dtype), None if self.signed else 0.0, high)

    def _neuron(self, integers: Integers) -> Neuron:
        if self.threshold is None and self.scale is None:
            return self.layer.neuron
        vth, before = whole(integers.vth), cast(AugmentedNeuron, self.layer.neuron)
        one = not fixed_point.is_array(before.vth) and (vth == vth.flat[0]).all()
        v0 = None if self.starts_at_half else before.v0
        return before.replace(vth=int(vth.flat[0]) if one else vth, v0=v0)

    def _kept_neuron(self) -> Neuron:
        neuron = cast(AugmentedNeuron, self.layer.neuron)
        if self.threshold is None and self.scale is None:
            return neuron
        # Of 2, half is not zero.
        return neuron.replace(vth=2, v0=None if self.starts_at_half else neuron.v0)


@entered(LAYERS, ReadoutNeuron)
class _ReadoutLayer(StudentLayer):
    """``v = u``, whose unit is the quantum."""

    def quantum(self, ratio: torch.Tensor) -> torch.Tensor:
        return self.quantum0 * ratio if self.scale is None else self.unit()

    def sent(self, u: torch.Tensor, integers: Integers, t: int) -> torch.Tensor:
        return u


@entered(LAYERS, MaxPoolNeuron)
class _MaxPoolLayer(StudentLayer):
    """The maximum of each window, the gradient to its first largest element."""

    def sent(self, u: torch.Tensor, integers: Integers, t: int) -> torch.Tensor:
        neuron = cast(MaxPoolNeuron, self.layer.neuron)
        maps = u.reshape(len(u), -1, *u.shape[-2:])
        window = (neuron.kernel_size, neuron.stride, neuron.padding, neuron.dilation, neuron.ceil_mode)
        found = F.max_pool2d(maps, *window)
        return found.reshape(*u.shape[:-2], *found.shape[-2:])
