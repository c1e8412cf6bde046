"""Adding a layer as CONTRIBUTING.md says, by the letter, in a copy: the tests of all types pass with it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Adding a layer")[2].partition("\n## ")[0]

GENERIC = ("tests/test_layers.py", "tests/test_kernels.py", "tests/test_netx.py", "tests/test_nir.py")
ON_LAVA = ("tests/lava/test_conformance.py", "tests/lava/test_io_processes.py")
"""Tests that take the examples of all types."""

NETWORK = """
import numpy as np, torch
from lava_aug import check, convert, simulate, verify
from lava_aug.experiments.energy import prices
from lava_aug.core.matrices import Dense, Negate
from lava_aug.core.network import Connection, INPUT, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, ReadoutNeuron

hidden = Layer(name="h", connections=((INPUT, Negate()),), neuron=AugmentedNeuron(vth=9, signed=True), quantum=1.0)
behind = Layer(name="out", connections=(("h", Dense(weight=[[1] * 6])),), neuron=ReadoutNeuron(), quantum=1.0)
net = Network(input_shape=(1, 2, 3), layers=(hidden, behind))
images = np.array([[[[1, 0, 3], [40, 0, 255]]]], np.uint8)
needs = check(net, images).layers[0]
print(needs.fan_in, needs.fan_out, needs.synapses, prices(net).operations[0])
print(simulate(net, images, 2).synops["h"].ravel().tolist(), verify(net, images, lava=False).groups)


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.neg(x).flatten(1)


print([c.synapse.type_name for layer in convert(Model(), images) for c in layer.connections])
"""


def blocks() -> list[str]:
    """The code of the section, in order."""
    marked = re.findall(r"<!-- not executed.*?-->\n\n((?: +[^\n]*\n|\n)+?)(?=\n*(?: {0,3}\S|\Z))", SECTION)
    return [textwrap.dedent(block).strip("\n") for block in marked]


def enter(path: Path, before: str, text: str, after: str = "") -> None:
    """Put text before the first place where something stands; ``after`` it goes what is dropped."""
    code = path.read_text(encoding="utf-8")
    head, found, rest = code.partition(before)
    assert found, f"{path.name} has no {before!r}"
    path.write_text(head + text + (rest.partition(after)[2] if after else found + rest), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the layer of the section."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("lava_aug", "processes", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    layer, example, _, handler = blocks()
    enter(folder / "lava_aug/core/matrices.py", "@registered(SYNAPSES)\nclass Scale", f"{layer}\n\n\n")
    examples, handlers = folder / "tests/examples.py", folder / "lava_aug/conversion/elementwise.py"
    enter(examples, "    (Dense(weight=weights(5, 7)), (7,)),", f"    {example}\n")
    enter(handlers, "@converts(torch.neg,", f"{handler}\n\n\n", after="\n\n\n")
    for path in (examples, handlers):
        enter(path, "from lava_aug.", "from lava_aug.core.matrices import Negate\n")
    return folder


def outcome(copy: Path, *arguments: str) -> str:
    """What a program prints in the copy, with the copy's package."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_layer_is_counted_verified_and_converted(copy: Path) -> None:
    counts, runs, types = outcome(copy, "-c", NETWORK).splitlines()
    assert counts == "1 1 6 0.1"  # no product: all weights are -1
    assert runs == "[4, 4] (('spec', 'simulator', 'file'),)"
    assert types == "['negate']"


@pytest.mark.parametrize(
    ("files", "least"),
    [pytest.param(GENERIC, 25, id="here"), pytest.param(ON_LAVA, 2, id="Lava", marks=pytest.mark.lava(timeout=250))],
)
def test_the_tests_of_all_types_pass_with_the_layer(copy: Path, files: tuple[str, ...], least: int) -> None:
    out = outcome(copy, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files, "-k", "negate or Negate")
    count = re.search(r"^(\d+) passed, \d+ deselected", out, re.MULTILINE)
    assert count is not None, out
    assert int(count[1]) >= least, out
