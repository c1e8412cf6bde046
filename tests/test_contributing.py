"""CONTRIBUTING.md, done as it is printed: what it adds is added to a copy of the project, and the tests pass there.

A neuron, a layer, an export format and a command are added at once, as an interpreter of its own for each of them would
take longer than what it is asked.
"""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from copies import blocks_of, copy_project, insert, output_of, section_of
from nets import small_net

import lava_aug as la

pytestmark = pytest.mark.slow

HAS_LAVA = any(distributions(name="lava-nc"))

TABLES = """
import sys

sys.path.insert(0, "tests")
from test_file_format import TABLES, table_of

for heading in ("Neuron LEAKY", "Layer negate"):
    print(f"### {heading}", "", "New.", "", table_of(TABLES[heading]), "", sep="\\n")
"""


def add_neuron(project: Path) -> None:
    neuron, example, independent = blocks_of(section_of("Adding a neuron"))
    with (project / "lava_aug" / "core" / "neurons.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{neuron}\n")
    examples = project / "tests" / "examples.py"
    insert(examples, "    ReadoutNeuron(),\n", f"    {example}\n")
    insert(examples, "\nDEVICES =", "from lava_aug.core.neurons import LeakyNeuron\n")
    reader = project / "tests" / "independent" / "neurons.py"
    insert(reader, "NEURONS: dict[str, type[Neurons]] = {\n", f"{independent}\n\n\n")
    insert(reader, '    "AUGIF": Augmented,\n', '    "LEAKY": Leaky,\n')


def add_layer(project: Path) -> None:
    layer, example, independent, handler = blocks_of(section_of("Adding a layer"))
    insert(project / "lava_aug/core/layers.py", "@registered(SYNAPSES)\nclass Scale", f"{layer}\n\n\n")
    examples, handlers = project / "tests/examples.py", project / "lava_aug/conversion/elementwise.py"
    insert(examples, "    (Dense(weight=weights(5, 7)), (7,)),", f"    {example}\n")
    insert(handlers, "@converts(aten.neg)", f"{handler}\n\n\n", until="\n\n\n")
    for path in (examples, handlers):
        insert(path, "from lava_aug.", "from lava_aug.core.layers import Negate\n")
    reader = project / "tests" / "independent" / "layers.py"
    insert(reader, "LAYERS: ", f"{independent}\n\n\n")
    insert(reader, '    "dense": ', '    "negate": negate,\n')


def add_format_and_command(project: Path) -> None:
    ([form], [command]) = (blocks_of(section_of(f"Adding {what}")) for what in ("an export format", "a command"))
    insert(project / "lava_aug" / "formats.py", "def read_network(", f"{form}\n\n\n")
    (project / "lava_aug" / "commands" / "names.py").write_text(command + "\n", encoding="utf-8")
    la.save(small_net(), project / "tests" / "small.net")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the steps of the sections are done."""
    root = copy_project(tmp_path_factory.mktemp("project"))
    for add in (add_neuron, add_layer, add_format_and_command):
        add(root)
    insert(root / "docs" / "file-format.md", "### Neuron AUGIF\n", output_of(root, "-c", TABLES))
    return root


# What is asked of them


NEURON = """
import numpy as np
import lava_aug as la
from lava_aug.core import neurons
from lava_aug.verification.differences import first_mismatch
from lava_aug.verification.reference import interpret
from lava_aug.core.prices import prices
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

LAYER = """
import numpy as np, torch
from lava_aug import check_loihi2, convert, simulate, verify
from lava_aug.core.prices import prices
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

COMMANDS = """
import os, sys
os.chdir("tests")
sys.path.insert(0, ".")
from command_line import run
for arguments in {!r}:
    assert run(*arguments.split()) == 0, arguments
"""

FORMAT = COMMANDS.format(
    [
        "export small.net --to boxed -o box.net --box-label fragile",
        "info box.net",
        "export box.net --to lava-aug -o out.net",
        "export --help",
    ]
)
NAMES, HELP = COMMANDS.format(["names small.net"]), COMMANDS.format(["--help"])

ASKED = {"neuron": NEURON, "layer": LAYER, "format": FORMAT, "command": NAMES, "help": HELP}

PROGRAM = """
import os
home = os.getcwd()
for title, code in {!r}.items():
    print("==", title, flush=True)
    os.chdir(home)
    exec(compile(code, title, "exec"), {{"__name__": title}})
"""


@pytest.fixture(scope="module")
def answers(project: Path) -> dict[str, str]:
    """What is printed about each of them, by one interpreter."""
    _, *parts = re.split(r"^== (\w+)\n", output_of(project, "-c", PROGRAM.format(ASKED)), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.timeout(300)
def test_what_is_asked_of_the_new_neuron(project: Path, answers: dict[str, str]) -> None:
    module, price, options, peak, spikes, mismatch, verified, *refusals = answers["neuron"].splitlines()
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


def test_the_layer_is_counted_verified_and_converted(answers: dict[str, str]) -> None:
    counts, runs, types = answers["layer"].splitlines()
    assert counts == "1 1 6 0.1"  # no product: all weights are -1
    assert runs == "[4, 4] (('spec', 'simulator', 'file'),)"
    assert types == "['negate']"


def test_the_format_is_written_and_read_by_the_commands(project: Path, answers: dict[str, str]) -> None:
    found = answers["format"]
    assert "- the box is labelled fragile" in found
    assert small_net().summary() in found
    assert "boxed: A network of ours in a box" in " ".join(re.sub("[│ \n]+", " ", found).split())
    assert "--box-label" in found
    assert (project / "tests" / "out.net").read_bytes() == (project / "tests" / "small.net").read_bytes()


def test_the_command_runs_and_has_its_place(answers: dict[str, str]) -> None:
    assert answers["command"] == "hidden\nout\n"
    shown = re.findall(r"^│ (\w+) ", answers["help"], re.MULTILINE)
    assert shown[shown.index("info") :][:3] == ["info", "names", "check"]


# The tests of all types


GENERIC: dict[str, tuple[int, list[str]]] = {
    "LEAKY or Leaky or every_registered or every_type or test_limits or may_be_compiled": (
        15,
        [
            *("test_neurons", "test_neuron_laws", "test_neuron_parameters", "test_file_format"),
            *("test_independent_reference", "test_compiled", "test_verification", "test_nir"),
            *(["lava/test_conformance"] if HAS_LAVA else []),
        ],
    ),
    "negate or Negate": (
        27 if HAS_LAVA else 25,
        [
            *("test_layers", "test_kernels", "test_netx", "test_nir"),
            *(["lava/test_conformance", "lava/test_io_processes"] if HAS_LAVA else []),
        ],
    ),
    "boxed or opened_once or damaged_files": (5, ["test_formats", "test_files", "test_fuzz"]),
}
"""What the tests of each have in their names, how many there are at least, and in which files."""


@pytest.mark.timeout(600)
def test_the_tests_of_all_types_pass_with_them(project: Path) -> None:
    insert(project / "tests" / "test_fuzz.py", "SEEDS = ", "SEEDS = 20\n", until="\n")  # the other readers are not new
    files = sorted({f"tests/{name}.py" for _, names in GENERIC.values() for name in names})
    options = ("-v", "-n", "0", "-p", "no:cacheprovider", "-k", " or ".join(GENERIC))
    text = output_of(project, "-m", "pytest", *options, *files)
    passed = [line for line in text.splitlines() if line.startswith("tests/") and " PASSED " in line]
    for words, (least, _) in GENERIC.items():
        ran = [line for line in passed if re.search(words.replace(" or ", "|"), line)]
        assert len(ran) >= least, f"{words}: {len(ran)} tests\n{text}"
