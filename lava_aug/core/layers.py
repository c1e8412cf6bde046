"""Layer types: a synapse's sum, its input and output shapes, and its number of synapses.

A layer of a `Network` is one or more of these synapses, a bias and a neuron. `Synapse.accumulate` is the definition:
plain integer arithmetic. Faster forms of the same sum are in `lava_aug.kernels`, registered by the layer type and
checked against it by the conformance tests; a new layer type gets by without them. To add one, write a subclass with
`output_shape`, `accumulate` and `connectivity`, decorated with ``@registered(SYNAPSES)``, in a module that is imported
here: import layer types from this one.
"""

from lava_aug.core.matrices import Dense, Relay, Scale
from lava_aug.core.sliding import Conv, SumPool
from lava_aug.core.sparse import Sparse
from lava_aug.core.synapse import SYNAPSES, Shape, Synapse
from lava_aug.core.transposed import ConvTranspose

INPUT = "input"
"""Name under which layers refer to the images."""

INPUT_LEVELS = 255
"""Largest input payload: images are graded spikes of uint8 intensity, quantum 1/255."""

__all__ = [
    "INPUT",
    "INPUT_LEVELS",
    "SYNAPSES",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Relay",
    "Scale",
    "Shape",
    "Sparse",
    "SumPool",
    "Synapse",
]
