"""CONTRIBUTING.md, done as it is printed: its neuron is added to a copy of the project, and the tests run there."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from copies import blocks_of, copy_project, insert, output_of, section_of

pytestmark = pytest.mark.slow

HAS_LAVA = any(distributions(name="lava-nc"))
SECTION = section_of("Adding a neuron")

TABLE = """
import sys

sys.path.insert(0, "tests")
from test_file_format import TABLES, table_of

print(table_of(TABLES["Neuron LEAKY"]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the steps of the section are done."""
    root = copy_project(tmp_path_factory.mktemp("project"))
    neuron, example, independent = blocks_of(SECTION)
    with (root / "lava_aug" / "core" / "neurons.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{neuron}\n")
    examples = root / "tests" / "examples.py"
    insert(examples, "    ReadoutNeuron(),\n", f"    {example}\n")
    insert(examples, "\nDEVICES =", "from lava_aug.core.neurons import LeakyNeuron\n")
    table = output_of(root, "-c", TABLE)
    insert(root / "docs" / "file-format.md", "### Neuron AUGIF\n", f"### Neuron LEAKY\n\nA leaky neuron.\n\n{table}\n")
    reader = root / "tests" / "independent" / "neurons.py"
    insert(reader, "NEURONS: dict[str, type[Neurons]] = {\n", f"{independent}\n\n\n")
    insert(reader, '    "AUGIF": Augmented,\n', '    "LEAKY": Leaky,\n')
    return root


QUESTIONS = """
import numpy as np
import lava_aug as la
from lava_aug.core import neurons
from lava_aug.verification.differences import first_mismatch
from lava_aug.verification.reference import interpret
from lava_aug.experiments.energy import prices
from lava_aug.plot.activity import trace
from lava_aug.core.layers import Dense
from lava_aug.core.network import Layer, Network

leaky = neurons.LeakyNeuron(vth=10, leak=2)
plain = neurons.DoubleThresholdNeuron(vth=10)
out = Layer(name="out", connections=[("in", Dense(weight=[[1, 2]]))], neuron=neurons.ReadoutNeuron(), quantum=1.0)

def network(neuron):
    first = Layer(name="in", connections=[("input", Dense(weight=[[1, 0, 2], [3, 1, -1]]))], neuron=neuron, quantum=1.0)
    return Network(layers=[first, out], input_shape=(3,), num_steps=4)

print(neurons.__file__)
print(round(prices(network(leaky)).step - prices(network(plain)).step, 9))
print(network(leaky).summary().splitlines()[-1])
print(trace(leaky, [20, -9, 40, 0, 0]).peak.tolist())
x = np.full((1, 3), 2, np.uint8)
print(la.simulate(network(leaky), x, record=True).spikes["in"][:, 0].tolist())
wrong = interpret(network(leaky), x.astype(np.int64), 4)
wrong.spikes["in"][2, 0, 0] += 1
print(str(first_mismatch(interpret(network(leaky), x.astype(np.int64), 4), wrong, x.astype(np.int64))))
verified = la.verify(network(leaky), timeout=100)
print([pair.name for pair in verified.pairs if pair.equal])
for refused in (lambda: la.settle(network(leaky), np.zeros((1, 3), np.uint8)), lambda: leaky.mean(1.0, clip=True)):
    try:
        refused()
    except la.LavaAugError as error:
        print(error)
"""


@pytest.mark.timeout(300)
def test_what_is_asked_of_the_new_neuron(project: Path) -> None:
    module, price, options, peak, spikes, mismatch, verified, *refusals = output_of(
        project, "-c", QUESTIONS
    ).splitlines()
    assert Path(module) == project / "lava_aug" / "core" / "neurons.py"
    assert float(price) == 0.2  # one addition more in each of two neurons
    assert options == "options: vth_lo -1, v0 vth/2, leak 2"
    assert peak == "[24, 2, 42, 24, 11]"  # 5 - 1 + 20, 14 - 3 - 9, 2 - 0 + 40, 32 - 8, 14 - 3
    # a = 6, 6: v = 5 - 1 + 6 = 10 fires, 0 + 6, 6 - 1 + 6 = 11 fires, 1 - 0 + 6 = 7
    assert spikes == "[[1, 1], [0, 0], [1, 1], [0, 0]]"
    assert mismatch == (
        "layer 'in', step 3 of image 0, neuron (0,): spikes: expected 1, found 2; "
        "before: v = 6, n = 1, a = 6, bias = 0, vth = 10, vth_lo = -1, leak = 2"
    )
    assert verified == str(["simulator", "file", *(["Lava hierarchical", "Lava fused"] if HAS_LAVA else [])])
    assert refusals == [
        "settle: layer 'in' has LEAKY neurons, whose spikes depend on the order of their inputs; "
        "simulate takes any network",
        "LeakyNeuron: its mean activation is not known; write LeakyNeuron.mean",
    ]


GENERIC = [
    *("test_neurons", "test_neuron_laws", "test_neuron_parameters", "test_file_format", "test_independent_reference"),
    *("test_compiled", "test_verification", "test_nir", *(["lava/test_conformance"] if HAS_LAVA else [])),
]
"""Test files with tests that hold for every neuron."""


@pytest.mark.timeout(600)
def test_every_generic_test_passes_with_the_new_neuron(project: Path) -> None:
    files = [f"tests/{name}.py" for name in GENERIC]
    chosen = "LEAKY or Leaky or every_registered or every_type or test_limits or may_be_compiled"
    text = output_of(project, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", chosen, *files)
    assert int(re.findall(r"(\d+) passed", text)[0]) >= 15, text
