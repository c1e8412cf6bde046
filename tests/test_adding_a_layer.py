"""Adding a layer as CONTRIBUTING.md says, by the letter, in a copy: the tests of all types pass with it."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from copies import blocks_of, copy_project, insert, output_of, section_of

HAS_LAVA = any(distributions(name="lava-nc"))

GENERIC = [
    *("tests/test_layers.py", "tests/test_kernels.py", "tests/test_netx.py", "tests/test_nir.py"),
    *(["tests/lava/test_conformance.py", "tests/lava/test_io_processes.py"] if HAS_LAVA else []),
]
"""Tests that take the examples of all types."""

NETWORK = """
import numpy as np, torch
from lava_aug import check_loihi2, convert, simulate, verify
from lava_aug.experiments.energy import prices
from lava_aug.core.layers import Dense, Negate
from lava_aug.core.network import Connection, INPUT, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, ReadoutNeuron

hidden = Layer(name="h", connections=((INPUT, Negate()),), neuron=AugmentedNeuron(vth=9, signed=True), quantum=1.0)
behind = Layer(name="out", connections=(("h", Dense(weight=[[1] * 6])),), neuron=ReadoutNeuron(), quantum=1.0)
net = Network(input_shape=(1, 2, 3), layers=(hidden, behind))
images = np.array([[[[1, 0, 3], [40, 0, 255]]]], np.uint8)
needs = check_loihi2(net, images).layers[0]
print(needs.fan_in, needs.fan_out, needs.synapses, prices(net).operations[0])
print(simulate(net, images, 2).synops["h"].ravel().tolist(), verify(net, images, lava=False).groups)


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.neg(x).flatten(1)


print([c.synapse.type_name for layer in convert(Model(), images) for c in layer.connections])
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the layer of the section."""
    folder = copy_project(tmp_path_factory.mktemp("copy"))
    layer, example, _, handler = blocks_of(section_of("Adding a layer"))
    insert(folder / "lava_aug/core/layers.py", "@registered(SYNAPSES)\nclass Scale", f"{layer}\n\n\n")
    examples, handlers = folder / "tests/examples.py", folder / "lava_aug/conversion/elementwise.py"
    insert(examples, "    (Dense(weight=weights(5, 7)), (7,)),", f"    {example}\n")
    insert(handlers, "@converts(aten.neg)", f"{handler}\n\n\n", until="\n\n\n")
    for path in (examples, handlers):
        insert(path, "from lava_aug.", "from lava_aug.core.layers import Negate\n")
    return folder


def test_the_layer_is_counted_verified_and_converted(copy: Path) -> None:
    counts, runs, types = output_of(copy, "-c", NETWORK).splitlines()
    assert counts == "1 1 6 0.1"  # no product: all weights are -1
    assert runs == "[4, 4] (('spec', 'simulator', 'file'),)"
    assert types == "['negate']"


@pytest.mark.slow
def test_the_tests_of_all_types_pass_with_the_layer(copy: Path) -> None:
    options = ("-q", "-n", "0", "-p", "no:cacheprovider", "-k", "negate or Negate")
    out = output_of(copy, "-m", "pytest", *options, *GENERIC)
    count = re.search(r"^(\d+) passed, \d+ deselected", out, re.MULTILINE)
    assert count is not None, out
    assert int(count[1]) >= (27 if HAS_LAVA else 25), out
