"""Examples of every synapse and every neuron, on which the laws that hold for all of them are tested.

To have a new layer type or a new neuron tested, enter it here: `test_layers` and `test_neurons` fail until you do.
"""

import numpy as np
import torch

from lava_aug.layers import Conv, Dense, Relay, Shape, SumPool, Synapse
from lava_aug.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron, ReadoutNeuron

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
"""The torch devices of this machine."""


def weights(*shape: int, largest: int = 127, seed: int = 0) -> np.ndarray:
    """Random integer weights, of which one is ``largest``."""
    values = np.random.default_rng(seed).integers(-largest, largest + 1, shape)
    values.flat[values.size // 2] = largest
    return values


def _conv(out: int, per_group: int, height: int, width: int, **options: object) -> Conv:
    return Conv(weight=weights(out, per_group, height, width), **options)  # pyright: ignore[reportArgumentType]


EXAMPLE_SYNAPSES: list[tuple[Synapse, Shape]] = [
    (Dense(weight=weights(5, 7)), (7,)),
    (Dense(weight=weights(3, 24)), (2, 3, 4)),
    (Dense(weight=weights(4, 6) / 8), (6,)),
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
    ReadoutNeuron(),
    ReadoutNeuron(floating=True),
]
"""At least one for every registered type."""


def name_of(value: object) -> str:
    """A test's name for a synapse or neuron in a list of parameters; other values are named by their text."""
    return getattr(value, "type_name", str(value))
