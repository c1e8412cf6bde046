"""A network in which a planted fault shows at a place that is known, and such a fault."""

from collections.abc import Callable
from typing import Any

import numpy as np
from nets import layer

from lava_aug.core.layers import Dense
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, Neuron, ReadoutNeuron
from lava_aug.verification.differences import Mismatch

VTH = 30

IMAGES = np.array([[0, 7, 9], [3, 2, 10]], np.uint8)
"""Only the last pixel of the last image adds up to `VTH` exactly: in step 3 of 4."""


def ladder() -> Network:
    """Three channels that do not mix: ``first`` passes on what comes in, ``second`` adds it up to `VTH`."""
    return Network(
        input_shape=(3,),
        layers=(
            _layer("first", INPUT, AugmentedNeuron(vth=1, v0=0)),
            _layer("second", "first", AugmentedNeuron(vth=VTH, v0=0)),
            _layer("out", "second", ReadoutNeuron()),
        ),
    )


def _layer(name: str, source: str, neuron: Neuron) -> Layer:
    return layer(name, source, Dense(weight=np.eye(3, dtype=np.int8)), neuron, bias=[0, 0, 0])


AT_THRESHOLD = Mismatch(
    layer="second",
    field="spikes",
    step=3,
    image=1,
    neuron=(2,),
    expected=1,
    found=0,
    before={"v": 20, "n": 0, "a": 10, "bias": 0, "vth": VTH, "vth_lo": -1, "message_bits": 16},
    lava_step=4 + 2 + 3,
)
"""What a neuron that fires too late at its threshold does to `ladder`."""


def late(original: Callable[..., None]) -> Callable[..., None]:
    """A compiled step that takes one off the current of every neuron that would reach its threshold exactly."""

    def step(self: Any, a: np.ndarray, t: int, rows: slice = slice(None)) -> None:
        a = a.copy()
        a[rows] -= self.v[rows] + a[rows] + self.bias == self.parameters[0]
        original(self, a, t, rows)

    return step
