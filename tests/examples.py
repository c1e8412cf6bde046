"""Examples of every synapse and every neuron, on which the laws that hold for all of them are tested.

To have a new layer type or a new neuron tested, enter it here: `test_layers` and `test_neurons` fail until you do.
"""

from typing import Any

import numpy as np
import torch

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    FunctionNeuron,
    MaxPoolNeuron,
    Neuron,
    ProductNeuron,
    RateNeuron,
    ReadoutNeuron,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
"""The torch devices of this machine."""


def weights(*shape: int, largest: int = 127, seed: int = 0) -> np.ndarray:
    """Random integer weights, of which one is ``largest``."""
    values = np.random.default_rng(seed).integers(-largest, largest + 1, shape)
    values.flat[values.size // 2] = largest
    return values


def _conv(out: int, per_group: int, height: int, width: int, **options: object) -> Conv:
    return Conv(weight=weights(out, per_group, height, width), **options)  # pyright: ignore[reportArgumentType]


def _transposed(inputs: int, per_group: int, height: int, width: int, **options: object) -> ConvTranspose:
    weight = weights(inputs, per_group, height, width)
    return ConvTranspose(weight=weight, **options)  # pyright: ignore[reportArgumentType]


def scale(weight: list[float], **options: Any) -> Scale:
    """One weight per channel."""
    return Scale(weight=np.array(weight), **options)


def sparse(weight: list[float], rows: list[int], columns: list[int], outputs: Shape) -> Sparse:
    """Entries by hand."""
    return Sparse(weight=np.array(weight), rows=np.array(rows), columns=np.array(columns), shape=outputs)


def random_sparse(outputs: Shape, inputs: int, density: float, seed: int = 0) -> Sparse:
    """Random integer entries, of which one is 127; some rows stay empty."""
    matrix = weights(int(np.prod(outputs)), inputs, seed=seed)
    chosen = np.random.default_rng(seed).random(matrix.shape) < density
    chosen[::5] = False
    rows, columns = np.nonzero(chosen)
    weight = matrix[rows, columns]
    weight[len(weight) // 2] = 127
    return Sparse(weight=weight, rows=rows, columns=columns, shape=outputs)


def gather(places: np.ndarray) -> Sparse:
    """Every output is the input of this index, or nothing where that is negative."""
    (rows,) = np.nonzero(places.ravel() >= 0)
    columns = places.ravel()[rows]
    return Sparse(weight=np.ones(len(rows), np.int8), rows=rows, columns=columns, shape=places.shape)


def padded(shape: Shape) -> np.ndarray:
    """The places of `gather` that put zeros around a map: one row above, two columns to the right."""
    return np.pad(np.arange(np.prod(shape)).reshape(shape), [(0, 0), (1, 0), (0, 2)], constant_values=-1)


def table(entries: list[int], vth: Any = 1, **options: Any) -> FunctionNeuron:
    """A neuron that computes a function by a table, by default of distance 1 from 0."""
    return FunctionNeuron(vth=vth, table=np.array(entries), **{"low": 0, "step_bits": 0, **options})


EXAMPLE_SYNAPSES: list[tuple[Synapse, Shape]] = [
    (Dense(weight=weights(5, 7)), (7,)),
    (Dense(weight=weights(3, 24)), (2, 3, 4)),
    (Dense(weight=weights(4, 6) / 8), (6,)),
    # along the last axis
    (Dense(weight=weights(3, 5)), (2, 4, 5)),
    (Dense(weight=weights(4, 3, seed=1)), (6, 3)),
    (Dense(weight=weights(2, 5) / 8), (3, 5)),
    (_conv(3, 2, 3, 2), (2, 5, 7)),
    (_conv(4, 1, 2, 3, stride=(2, 1), padding=(1, 2)), (1, 6, 5)),
    (_conv(3, 2, 1, 3, stride=2, dilation=(3, 2)), (2, 4, 9)),
    (_conv(2, 3, 3, 3, padding=1, dilation=(2, 1)), (3, 7, 4)),
    (_conv(6, 2, 2, 2, groups=3, stride=(1, 3)), (6, 4, 8)),
    (_conv(4, 1, 3, 1, groups=4, padding=(2, 0)), (4, 5, 3)),
    (_conv(3, 16, 3, 3, padding=(1, 0)), (16, 5, 6)),
    (Conv(weight=weights(2, 2, 3, 2) / 16, padding=(0, 1)), (2, 4, 5)),
    (SumPool(kernel_size=(2, 2), stride=(2, 2)), (3, 4, 7)),
    (SumPool(kernel_size=(3, 2), stride=(1, 2), padding=(1, 0)), (2, 5, 6)),
    (SumPool(kernel_size=(2, 3), stride=(2, 1), dilation=(2, 1)), (1, 7, 5)),
    (SumPool(kernel_size=(4, 5), stride=(4, 5)), (2, 4, 5)),
    (SumPool(kernel_size=(3, 2), padding=(2, 0)), (2, 4, 5)),
    (Relay(), (2, 3, 4)),
    (Relay(), (6,)),
    # Rows (channels, length), as maps of height 1
    (_conv(3, 2, 1, 4, stride=(1, 2), padding=(0, 2)), (2, 9)),
    (_conv(4, 2, 1, 2, groups=2, dilation=(1, 3)), (4, 7)),
    (SumPool(kernel_size=(1, 3), stride=(1, 2), padding=(0, 1)), (3, 8)),
    (SumPool(kernel_size=(1, 2), stride=(1, 1), padding=(0, 2)), (2, 5)),
    (_transposed(2, 3, 1, 3, stride=(1, 2), padding=(0, 1), output_padding=(0, 1)), (2, 5)),
    (_transposed(2, 3, 3, 2), (2, 4, 5)),
    (_transposed(3, 2, 2, 3, stride=(2, 3), padding=(1, 0), output_padding=(1, 2)), (3, 4, 3)),
    (_transposed(4, 1, 3, 4, stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=2), (4, 5, 8)),
    (_transposed(6, 2, 3, 2, stride=2, dilation=(3, 2), output_padding=(2, 1), groups=3), (6, 4, 4)),
    (_transposed(2, 1, 1, 1, stride=(3, 2)), (2, 3, 4)),
    (ConvTranspose(weight=weights(2, 3, 2, 3) / 16, stride=(1, 2), padding=(1, 0)), (2, 4, 3)),
    (Scale(weight=weights(3)), (3, 2, 5)),
    (Scale(weight=weights(4, seed=1), offset=2, channels=9), (4, 3)),
    (scale([1, 1, 1], offset=1), (3, 4, 2)),
    (scale([1, 1]), (2, 3, 2)),
    (Scale(weight=weights(5), channels=6), (5,)),
    (Scale(weight=weights(2) / 32, offset=1), (2, 3, 4)),
    (random_sparse((2, 3, 4), 30, 0.3), (5, 2, 3)),
    (random_sparse((7,), 9, 0.9, seed=1), (12,)),
    (gather(padded((2, 3, 4))), (2, 3, 4)),
    (gather(np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[:, ::-1]), (2, 3, 4)),
    (gather(np.arange(6).reshape(1, 2, 3).repeat(2, 1).repeat(3, 2)), (1, 2, 3)),
    (sparse([0.5, -0.25, 2.0, 1.0], [0, 0, 2, 5], [1, 4, 0, 4], (3, 2)), (2, 4)),
]
"""(synapse, shape of the spikes that it takes), at least one for every registered type."""

INTEGER_SYNAPSES = [(synapse, shape) for synapse, shape in EXAMPLE_SYNAPSES if not synapse.is_float]

EXAMPLE_NEURONS: list[Neuron] = [
    RateNeuron(vth=10),
    RateNeuron(vth=7, v0=0, n_max=3),
    RateNeuron(vth=0.5),
    DoubleThresholdNeuron(vth=10),
    DoubleThresholdNeuron(vth=9, vth_lo=-9, v0=0),
    DoubleThresholdNeuron(vth=12, vth_lo=-5, n_max=2),
    DoubleThresholdNeuron(vth=6, signed=True),
    DoubleThresholdNeuron(vth=0.25, vth_lo=-0.25, n_max=4),
    AugmentedNeuron(vth=10),
    AugmentedNeuron(vth=9, vth_lo=-9, v0=0),
    AugmentedNeuron(vth=41, v0=-3, n_max=5),
    AugmentedNeuron(vth=1, v0=0, signed=True),
    AugmentedNeuron(vth=3, message_bits=4),
    AugmentedNeuron(vth=8, vth_lo=-20, message_bits=3, signed=True, n_max=6),
    AugmentedNeuron(vth=2**23 - 1, vth_lo=-(2**23), v0=-(2**23), message_bits=24),
    AugmentedNeuron(vth=0.5, n_max=9),
    table([8, 0, 8], vth=10, low=-8, step_bits=3),
    table([-9, -30, 0, 70, 71], vth=7, low=-5, step_bits=2, fraction_bits=3, shift=4, function="bend"),
    table([0, 2**20], message_bits=4),
    table([-40, 0, 40, 56], vth=0.5, low=-16, step_bits=4, fraction_bits=2, shift=3),
    ReadoutNeuron(),
    ReadoutNeuron(floating=True),
]
"""Neurons that fit any shape."""


def channels(*values: float) -> np.ndarray:
    """One value for each channel of a map."""
    return np.array(values).reshape(-1, 1, 1)


PER_CHANNEL_NEURONS: list[tuple[Neuron, Shape]] = [
    (RateNeuron(vth=channels(5, 9, 40), n_max=channels(2, 3, 1)), (3, 2, 4)),
    (RateNeuron(vth=channels(0.5, 2.0)), (2, 3, 1)),
    (DoubleThresholdNeuron(vth=channels(10, 3, 127), v0=channels(0, -2, 90)), (3, 2, 4)),
    (DoubleThresholdNeuron(vth=9, vth_lo=channels(-1, -9), signed=True), (2, 1, 3)),
    (AugmentedNeuron(vth=channels(10, 3, 2**23 - 1)), (3, 2, 4)),
    (AugmentedNeuron(vth=np.array([1, 7, 12, 300]), v0=0, vth_lo=np.array([-1, -7, -1, -40]), n_max=9), (2, 4)),
    (AugmentedNeuron(vth=12, v0=np.arange(6).reshape(2, 1, 3), message_bits=3), (2, 2, 3)),
    (AugmentedNeuron(vth=channels(0.5, 4.0), vth_lo=-0.25, n_max=channels(3, 5)), (2, 3, 2)),
    (table([-9, 0, 70, 99], vth=channels(10, 3, 2**23 - 1), low=-4, step_bits=2, shift=2), (3, 2, 4)),
]
"""(neuron, shape of the layer that it fits)."""

MAX_POOLING_NEURONS: list[tuple[Neuron, Shape]] = [
    (MaxPoolNeuron(kernel_size=(2, 2)), (2, 4, 5)),
    (MaxPoolNeuron(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1)), (2, 5, 4)),
    (MaxPoolNeuron(kernel_size=(3, 2), stride=(2, 2), ceil_mode=True, message_bits=9), (1, 6, 7)),
    (MaxPoolNeuron(kernel_size=(1, 3), stride=(1, 1), dilation=(1, 2)), (3, 7)),
    (MaxPoolNeuron(kernel_size=(2, 2), floating=True), (2, 4, 5)),
]
"""(neuron, shape of its input current)."""

PRODUCT_NEURONS: list[tuple[Neuron, Shape]] = [
    (ProductNeuron(batch=6, sent=(2, 3)), (12,)),
    (ProductNeuron(batch=2, rows=3, inner=5, columns=2, factor=77, shift=9, message_bits=24), (50,)),
    (ProductNeuron(rows=4, columns=3, sent=(12,), factor=3, shift=1, message_bits=4), (7,)),
    (ProductNeuron(inner=9, shift=4), (18,)),
    (ProductNeuron(batch=2, rows=1, inner=2, columns=3, factor=5, shift=3, floating=True), (16,)),
]
"""(neuron, shape of its input current)."""

EXAMPLE_POPULATIONS: list[tuple[Neuron, Shape]] = [
    *((neuron, (3, 2, 4)) for neuron in EXAMPLE_NEURONS),
    *PER_CHANNEL_NEURONS,
    *MAX_POOLING_NEURONS,
    *PRODUCT_NEURONS,
]
"""(neuron, shape of its input current), at least one for every registered type."""


def name_of(value: object) -> str:
    """A test's name for a synapse or neuron in a list of parameters; other values are named by their text."""
    return getattr(value, "type_name", str(value))
