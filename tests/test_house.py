"""The house as `docs/design.md` draws it: its rooms, the direction of imports, and what importing the package costs."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import pytest
import site_modules
from command_line import run_python

import lava_aug
from lava_aug.core.layers import SYNAPSES
from lava_aug.core.neurons import NEURONS

ROOT = Path(__file__).parent.parent
PACKAGE, PROCESSES = ROOT / "lava_aug", ROOT / "processes"
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")

HAS_LAVA = any(distributions(name="lava-nc"))

WHOLE_ROOMS = {"commands", "processes", "testing"}
"""Packages that imports and diagrams know as a whole."""

ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - WHOLE_ROOMS
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "processes" not in path.parents]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in FILES
    if path.stem != "__init__" and path.relative_to(PACKAGE).parts[0] not in WHOLE_ROOMS
}
"""Modules of ours by their names, such as ``conversion.tracing``."""

IMPORT_LAVA = {"netx.running", *(name for name in MODULES if name.startswith("lava."))}
"""Modules of `lava_aug` that may import Lava; `processes` and `testing` may too."""

NAMES_FROM_LAVA = {"FastSimCfg", "run", "supervise"}
"""Public names that are there only with Lava."""

IMPORT_TORCH = {
    "kernels.batches",
    "simulation.planning",
    "verification.verifying",
    *(f"conversion.{name}" for name in ("calibration", "converter", "elementwise", "float_layers", "models")),
    *(f"conversion.{name}" for name in ("operations", "pooling_operations", "rearrangement", "recording", "tracing")),
    *(f"conversion.{name}" for name in ("adaptive", "building", "comparisons", "correcting", "decompositions")),
    *(f"conversion.{name}" for name in ("derived", "fineness", "function_neurons", "fusing", "integer_operations")),
    *(f"conversion.{name}" for name in ("complex_numbers", "onnx_files", "products", "reach", "rounding")),
    *(f"conversion.{name}" for name in ("staircases", "user_code", "volume_operations", "weighted_operations")),
    "examples.digits",
    *(f"experiments.{name}" for name in ("diagnosis", "energy", "finetuning", "parts", "running")),
    *(f"experiments.{name}" for name in ("training_data", "training_run", "tuning")),
    *(f"simulation.{name}" for name in ("populations", "settling", "simulator")),
    *(f"training.{name}" for name in ("costs", "gradients", "layers", "students", "sums")),
    "examples.zoo",
}
"""Modules that may import torch when they are imported; the others may when they are used."""


def test_design_names_every_module_and_no_other() -> None:
    named = "\n".join(site_modules.tables())
    assert "\n| `network.py` | `Network`: the integer intermediate representation" in named
    assert named.count("\n| `") == len([path for path in FILES if path.name != "__init__.py"]) + len(
        [path for path in PROCESSES.glob("*.py") if path.name != "__init__.py"]
    )
    assert all(re.search(r"^\| `\w+\.py` \| \S", line) for line in named.splitlines() if line.startswith("| `"))
    assert DESIGN.count(site_modules.MARKER) == 1


# Imports


def design_rows() -> list[list[str]]:
    """The rows of the import diagram: a room imports only from rows above its own."""
    section = DESIGN.partition("## Imports point one way")[2]
    return [line.split() for line in section.split("```")[1].removeprefix("text\n").splitlines()]


def above(room: str) -> set[str]:
    """The rooms in rows above one."""
    rows = design_rows()
    row = next(index for index, names in enumerate(rows) if room in names)
    return {name for names in rows[:row] for name in names}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def nodes_of(node: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """All nodes that run: those for type checkers left out, and on request those inside functions too."""
    for child in ast.iter_child_nodes(node):
        lazy = at_import and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if not lazy and not is_type_checking(child):
            yield child
            yield from nodes_of(child, at_import=at_import)


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Full names of all that a file imports, ``lava_aug.x.y`` for both ``from lava_aug.x import y`` and its kin."""
    packages = {"lava_aug", *(f"lava_aug.{room}" for room in ROOMS)}
    found: set[str] = set()
    for node in nodes_of(ast.parse(path.read_text(encoding="utf-8")), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = str(node.module)
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in packages else {module}
    return found


def of_ours(names: set[str]) -> set[str]:
    """Which of our modules are meant; packages that are known as a whole count as one."""
    parts = [name.split(".")[1:] for name in names if name.startswith("lava_aug.")]
    return {".".join(part[: 2 if part[0] in ROOMS else 1]) for part in parts}


def rooms_of(modules: set[str]) -> set[str]:
    """The rooms that modules are in; a module outside of all rooms is one itself."""
    return {name.partition(".")[0] for name in modules}


def imports_any(names: set[str], package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in names)


def test_the_parser_of_imports() -> None:
    assert of_ours(imports(MODULES["core.streams"])) == {"core.errors", "core.fixed_point", "core.inputs", "core.texts"}
    assert "plot.activity" in of_ours(imports(PACKAGE / "plot" / "__init__.py"))
    assert imports_any(imports(MODULES["core.streams"]), "torch")
    assert not imports_any(imports(MODULES["core.streams"], at_import=True), "torch")


def test_the_diagram_has_every_room_once() -> None:
    listed = [name for row in design_rows() for name in row]
    assert sorted(listed) == sorted(rooms_of(set(MODULES)) | WHOLE_ROOMS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_import_from_rooms_above_their_own(name: str) -> None:
    room = name.partition(".")[0]
    used = rooms_of(of_ours(imports(MODULES[name]))) - {room}
    assert "lava_aug" not in imports(MODULES[name]), "only commands use the public names, `import lava_aug as la`"
    assert used <= above(room), f"{name} imports {used - above(room)}, which are not above it"


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {name: of_ours(imports(path)) - WHOLE_ROOMS for name, path in MODULES.items()}
    assert set().union(*graph.values()) <= set(MODULES) | ROOMS
    list(TopologicalSorter(graph).static_order())  # CycleError names a circle


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "commands"], ids=lambda path: path.name)
def test_commands_import_what_is_light_and_use_the_rest_when_they_run(path: Path) -> None:
    names = imports(path, at_import=True)
    assert not any(imports_any(names, heavy) for heavy in ("torch", "lava", "h5py", "matplotlib"))
    assert not of_ours(names) & (IMPORT_LAVA | IMPORT_TORCH)


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "testing"], ids=lambda path: path.name)
def test_the_testing_kit_imports_from_rooms_above_its_own(path: Path) -> None:
    assert rooms_of(of_ours(imports(path))) - {"testing"} <= above("testing")
    light = path.stem in {"__init__", "leftovers", "plugin", "traces"}
    assert not (light and imports_any(imports(path, at_import=True), "lava"))


@pytest.mark.parametrize("path", sorted(PROCESSES.rglob("*.py")), ids=lambda path: str(path.relative_to(PROCESSES)))
def test_processes_know_nothing_of_conversion_and_files(path: Path) -> None:
    used = of_ours(imports(path)) - {"processes"}
    assert rooms_of(used) <= above("processes") - {"conversion", "netx"}
    assert "simulation.simulator" not in used
    assert not imports_any(imports(path), "torch")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_who_imports_lava_and_torch(name: str) -> None:
    assert not imports_any(imports(MODULES[name]), "lava") or name in IMPORT_LAVA
    assert not imports_any(imports(MODULES[name], at_import=True), "torch") or name in IMPORT_TORCH


# Neurons and synapses speak for themselves

NEURON_NAMES = {kind.__name__ for kind in NEURONS.values()}
NEURON_PARAMETERS = {name for kind in NEURONS.values() for name, _ in kind.declarations()}
SYNAPSE_MODULES = {"layers", "sliding", "sparse", "synapse", "transposed"}
SYNAPSE_CLASSES = {cls.__name__ for cls in SYNAPSES.values()} | {"Sliding", "Weighted"}


class Kind(NamedTuple):
    """What is asked about: how variables for it are called, its base class, the classes, and their parameters."""

    variable: str
    base: str
    classes: set[str]
    parameters: set[str]


ASKING = {"isinstance", "is_a", "issubclass", "hasattr", "getattr"}
NEURON = Kind(r"\bneuron$", "Neuron", NEURON_NAMES, NEURON_PARAMETERS)
SYNAPSE = Kind(r"synapse|outer|inner|taker", "Synapse", SYNAPSE_CLASSES, set())


def questions(source: str, kind: Kind) -> list[str]:
    """Calls by which code finds out which type something has, or whether it has an attribute, instead of asking it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKING):
            continue
        asked, about = (ast.unparse(part) for part in node.args[:2])
        is_one = re.search(kind.variable, asked)
        by_type = about != kind.base and (is_one or set(re.findall(r"\w+", about)) & kind.classes)
        by_name = is_one or about.strip("'\"") in kind.parameters
        optional = node.func.id == "hasattr" or len(node.args) == 3
        if by_name and optional if "attr" in node.func.id else by_type:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    ("source", "kind", "count"),
    [
        ("isinstance(layer.neuron, MaxPoolNeuron)", NEURON, 1),
        ("isinstance(a, (Dense, RateNeuron))", NEURON, 1),
        ("hasattr(layer.neuron, 'vth_lo')", NEURON, 1),
        ("getattr(spec, 'vth', None)", NEURON, 1),
        ("getattr(neuron, name, 0)", NEURON, 1),
        ("isinstance(self.neuron, Neuron), isinstance(term.synapse, Dense), getattr(neuron, name)", NEURON, 0),
        ("COMPILED[type(neuron)], type(neuron) in FIRING", NEURON, 0),
        ("isinstance(x, Conv)", SYNAPSE, 1),
        ("isinstance(term.synapse, (Relay, int))", SYNAPSE, 1),
        ("isinstance(synapse, Synapse)", SYNAPSE, 0),
        ("is_a(synapse, Conv)", SYNAPSE, 1),
        ("getattr(c.synapse, 'weight', None) or hasattr(synapse, 'groups')", SYNAPSE, 2),
        ("getattr(synapse, name)", SYNAPSE, 0),
    ],
)
def test_the_parser_of_questions(source: str, kind: Kind, count: int) -> None:
    assert len(questions(source, kind)) == count


@pytest.mark.parametrize(
    "path",
    [path for path in [*FILES, *sorted(PROCESSES.rglob("*.py"))] if path.stem not in {"neuron", "neurons"}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nobody_asks_for_the_type_of_a_neuron(path: Path) -> None:
    assert not questions(path.read_text(encoding="utf-8"), NEURON), (
        "a neuron says it itself: see lava_aug/core/neuron.py"
    )


@pytest.mark.parametrize("path", [*FILES, *sorted(PROCESSES.rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_asks_of_which_type_a_synapse_is(path: Path) -> None:
    """It says itself what others have to know; what only they know is in tables by its class."""
    if path.stem not in SYNAPSE_MODULES or path.parent != PACKAGE / "core":
        assert questions(path.read_text(encoding="utf-8"), SYNAPSE) == []


# The package itself


def test_importing_the_package_imports_no_other(tmp_path: Path) -> None:
    """So it is fast, however slow the machine: a handful of modules of Python's own, and one of ours."""
    code = "import sys; before = set(sys.modules); import lava_aug; print(*sorted(set(sys.modules) - before))"
    found = run_python(code, tmp_path).split()
    foreign = [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names]
    assert foreign == ["lava_aug", "lazy_loader"]
    assert len(found) < 20


ABSENT = set() if HAS_LAVA else {"run"}
"""Names in namespaces that are there only with Lava: `netx.run`."""

NAMESPACES = {"experiments", "layers", "netx", "neurons", "nir", "plot"}
PUBLIC: set[str] = set(vars(lava_aug)["__all__"])


@pytest.mark.parametrize("lava", [pytest.param(HAS_LAVA, marks=[pytest.mark.lava] if HAS_LAVA else [])])
def test_public_names_are_there_whatever_was_imported_before(lava: bool, tmp_path: Path) -> None:
    modules = sorted(set(MODULES) - (set() if lava else IMPORT_LAVA))
    names = sorted(PUBLIC - (set() if lava else NAMES_FROM_LAVA))
    code = "\n".join(
        [
            "import importlib, types, lava_aug",
            f"for name in {modules}: importlib.import_module('lava_aug.' + name)",
            f"for name in {names}:",
            f"    assert isinstance(getattr(lava_aug, name), types.ModuleType) == (name in {NAMESPACES}), name",
        ]
    )
    run_python(code, tmp_path)


def test_namespaces_have_their_names_whatever_was_imported_before(tmp_path: Path) -> None:
    code = f"""
import importlib, types, lava_aug
for name in {sorted(set(MODULES) - IMPORT_LAVA)}: importlib.import_module("lava_aug." + name)
for space in map(lambda name: getattr(lava_aug, name), {sorted(NAMESPACES)}):
    for name in sorted(set(space.__all__) - {ABSENT}):
        assert name in dir(space) and not isinstance(getattr(space, name), types.ModuleType), (space, name)
"""
    run_python(code, tmp_path)


def test_every_name_is_public_in_one_place() -> None:
    """Under the same name; `nir.load` is something else than `load`."""
    named = [(name, PUBLIC - NAMES_FROM_LAVA) for name in ["lava_aug"]]
    named += [(f"lava_aug.{space}", set(getattr(lava_aug, space).__all__) - ABSENT) for space in sorted(NAMESPACES)]
    places = [
        (id(getattr(sys.modules[space], name)), f"{space}.{name}")
        for space, names in named
        for name in sorted(names - NAMESPACES)
    ]
    assert len({identity for identity, _ in places}) == len(places), sorted(places)


@pytest.mark.parametrize(("space", "kinds"), [("layers", SYNAPSES), ("neurons", NEURONS)])
def test_layers_and_neurons_are_what_files_can_hold(space: str, kinds: dict[str, type]) -> None:
    """The base class, for those who write their own, and all that the package has of them."""
    namespace = getattr(lava_aug, space)
    classes = {getattr(namespace, name) for name in namespace.__all__}
    own = {kind for kind in kinds.values() if kind.__module__.startswith("lava_aug.core")}
    assert len(classes - own) == 1
    assert all(issubclass(kind, tuple(classes - own)) for kind in own)


def test_every_public_name_is_listed() -> None:
    assert set(dir(lava_aug)) >= PUBLIC
    with pytest.raises(AttributeError, match="No lava_aug attribute nothing"):
        _ = lava_aug.nothing  # pyright: ignore[reportAttributeAccessIssue]
