"""What the documentation says: its links, its map of the modules, and the direction of imports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

import lava_aug

ROOT = Path(__file__).parent.parent
PACKAGE, PROCESSES = ROOT / "lava_aug", ROOT / "processes"
COMMANDS = sorted((PACKAGE / "commands").glob("[!_]*.py"))
TESTING = sorted((PACKAGE / "testing").glob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tutorials/**/*.md")])
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")

HAS_LAVA = any(distributions(name="lava-nc"))
ONLY_WITH_LAVA = (pytest.mark.lava, pytest.mark.skipif(not HAS_LAVA, reason="needs Lava"))

MODULES = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
IMPORT_LAVA = {"deploy", "lava_import", "netx_runs", "run_configs", "stock_deploy", "supervision"}
"""Modules of `lava_aug` that may import Lava; `processes` may too."""

NAMES_FROM_LAVA = {"FastSimCfg", "run", "run_sdnn", "supervise"}
"""Public names that are there only with Lava."""

IMPORT_TORCH = {
    "ann",
    "calibration",
    "conversion",
    "demo",
    "diagnosis",
    "digits",
    "elementwise",
    "experiments",
    "float_layers",
    "needs",
    "operations",
    "parts",
    "planning",
    "pooling_operations",
    "populations",
    "rearrangement",
    "settling",
    "simulator",
    "steps",
    "tracing",
    "tuning",
    "verification",
    "weighted_operations",
    "zoo",
}
"""Modules that may import torch when they are imported; the others may when they are used."""


def run_python(code: str, where: Path) -> str:
    """What a program prints, run by an interpreter of its own in a folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Links and names


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_design_names_every_module_and_no_other() -> None:
    named = {Path(name) for name in re.findall(r"`([\w./<>]+\.py)`", DESIGN) if "<" not in name}
    for name in named:
        found = (PACKAGE / name).exists() or (ROOT / name).exists() or any(PROCESSES.glob(f"*/{name}"))
        assert found, f"docs/design.md names {name}, which does not exist"
    missing = {path.relative_to(PACKAGE) for path in [*PACKAGE.glob("*.py"), *COMMANDS, *TESTING]} - named
    assert not missing, f"docs/design.md does not name {missing}"


# Imports

DOORS = {"network": {"planning"}, "stock_netx": {"stock_deploy"}}
"""Methods that hand over to a module below their own, when they are called."""


def design_rows() -> list[list[str]]:
    """The rows of the import diagram: a module imports only from rows above its own."""
    section = DESIGN.partition("## Imports point one way")[2]
    return [line.split() for line in section.split("```")[1].removeprefix("text\n").splitlines()]


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
    """Full names of all that a file imports, ``lava_aug.x`` for both ``from lava_aug import x`` and its kin."""
    found: set[str] = set()
    for node in nodes_of(ast.parse(path.read_text(encoding="utf-8")), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = str(node.module)
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "lava_aug" else {module}
    return found


def of_ours(names: set[str]) -> set[str]:
    """Which of our modules are meant, ``processes`` being one."""
    return {name.split(".")[1] for name in names if name.startswith("lava_aug.")}


def imports_any(names: set[str], package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in names)


def test_the_parser_of_imports() -> None:
    assert of_ours(imports(MODULES["network"])) == {
        "planning",
        "errors",
        "fixed_point",
        "layers",
        "neurons",
        "spec",
        "texts",
    }
    assert imports_any(imports(MODULES["sliding"]), "torch")
    assert not imports_any(imports(MODULES["sliding"], at_import=True), "torch")


def test_the_diagram_has_every_module_once() -> None:
    listed = [name for row in design_rows() for name in row]
    assert sorted(listed) == sorted([*MODULES, "commands", "processes", "testing"])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_import_from_rows_above_their_own(name: str) -> None:
    row = next(index for index, row in enumerate(design_rows()) if name in row)
    above = {module for names in design_rows()[:row] for module in names}
    used = of_ours(imports(MODULES[name])) - DOORS.get(name, set())
    assert "lava_aug" not in imports(MODULES[name]), "only commands use the public names, `import lava_aug as la`"
    assert used <= above, f"{name} imports {used - above}, which are not above it"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_commands_import_what_is_light_and_use_the_rest_when_they_run(path: Path) -> None:
    names = imports(path, at_import=True)
    assert not any(imports_any(names, heavy) for heavy in ("torch", "lava", "h5py", "matplotlib"))
    assert not of_ours(names) & (IMPORT_LAVA | IMPORT_TORCH)


@pytest.mark.parametrize("path", TESTING, ids=lambda path: path.name)
def test_the_testing_kit_imports_from_rows_above_its_own(path: Path) -> None:
    row = next(index for index, row in enumerate(design_rows()) if "testing" in row)
    above = {module for names in design_rows()[:row] for module in names}
    assert of_ours(imports(path)) - {"testing"} <= above
    light = path.stem in {"__init__", "leftovers", "plugin", "traces"}
    assert not (light and imports_any(imports(path, at_import=True), "lava"))


@pytest.mark.parametrize("path", sorted(PROCESSES.rglob("*.py")), ids=lambda path: str(path.relative_to(PROCESSES)))
def test_processes_know_nothing_of_conversion_and_files(path: Path) -> None:
    used = of_ours(imports(path)) - {"processes"}
    row = next(index for index, row in enumerate(design_rows()) if "processes" in row)
    above = {module for names in design_rows()[:row] for module in names}
    assert used <= above - {"conversion", "deploy", "netx", "simulator", "tracing"}
    assert not imports_any(imports(path), "torch")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_who_imports_lava_and_torch(name: str) -> None:
    assert not imports_any(imports(MODULES[name]), "lava") or name in IMPORT_LAVA
    assert not imports_any(imports(MODULES[name], at_import=True), "torch") or name in IMPORT_TORCH


def test_conversion_simulation_and_files_are_strangers() -> None:
    families = [
        {
            *("building", "calibration", "composition", "conversion", "elementwise", "float_layers", "lowering"),
            *("operations", "pooling", "pooling_operations", "quantize", "rearrangement", "steps", "tracing"),
            "weighted_operations",
        },
        {"pipeline", "populations", "settling", "simulator"},
        {"hdf5", "netx", "stock_netx"},
    ]
    for family in families:
        strangers = set[str]().union(*families) - family
        for name in family:
            assert not of_ours(imports(MODULES[name])) & strangers, name


# The package itself


def test_importing_the_package_is_fast_and_pulls_in_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import lava_aug; print(time.perf_counter() - start); "
        "print([name for name in ('torch', 'lava', 'numba', 'h5py', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    runs = [run_python(code, tmp_path).splitlines() for _ in range(3)]
    assert all(heavy == "[]" for _, heavy in runs)
    assert min(float(seconds) for seconds, _ in runs) < 0.3


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(set(lava_aug.__all__) - NAMES_FROM_LAVA, id="without Lava"),
        pytest.param(set(lava_aug.__all__), id="all", marks=ONLY_WITH_LAVA),
    ],
)
def test_public_names_are_there_whatever_was_imported_before(names: set[str], tmp_path: Path) -> None:
    modules = sorted(set(MODULES) - (set() if names >= NAMES_FROM_LAVA else IMPORT_LAVA))
    code = "\n".join(
        [
            "import importlib, types, lava_aug",
            f"for name in {modules}: importlib.import_module('lava_aug.' + name)",
            f"for name in {sorted(names)}:",
            "    assert isinstance(getattr(lava_aug, name), types.ModuleType) == (name in {'plot'}), name",
        ]
    )
    run_python(code, tmp_path)


def test_every_public_name_is_listed() -> None:
    assert set(lava_aug.__all__) <= set(dir(lava_aug))
    with pytest.raises(AttributeError, match="module 'lava_aug' has no attribute 'nothing'"):
        _ = lava_aug.nothing  # pyright: ignore[reportAttributeAccessIssue]
