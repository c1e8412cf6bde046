"""The documentation site: every public name has its place in the reference, and pages come out as they should."""

import importlib
import re
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
HAS_LAVA = any(distributions(name="lava-nc"))

NAMESPACES = ("experiments", "layers", "netx", "neurons", "nir", "plot")

LISTED = ("lava_aug", "lava_aug.testing", "lava_aug.processes", *(f"lava_aug.{name}" for name in NAMESPACES))
"""Public modules that say in `__all__` what is public."""

OTHERS = {
    "lava_aug.examples.datasets": {"Images", "load_images", "split"},
    "lava_aug.examples.digits": {"Digits", "DigitsNet", "load_digits", "train"},
    "lava_aug.examples.zoo": {"LeNet", "ResNet", "VGG"},
}
"""Public names of other modules."""


def entries() -> list[str]:
    """Every name that the reference describes, with its module."""
    return [name for page in REFERENCE for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)]


def public(name: str) -> set[str]:
    """The public names of a module that is listed; modules among them have entries of their own."""
    module = importlib.import_module(name)
    modules = {other.rpartition(".")[2] for other in LISTED if other.startswith(f"{name}.")}
    return {f"{name}.{found}" for found in set(module.__all__) - modules}


@pytest.mark.parametrize("name", LISTED)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    if name == "lava_aug.processes" and not HAS_LAVA:
        pytest.skip("needs Lava")
    missing = public(name) - set(entries())
    assert not missing, f"write a line `::: name` in docs/reference/ for each of {sorted(missing)}"


def test_public_names_of_other_modules_are_in_the_reference() -> None:
    expected = {f"{module}.{name}" for module, names in OTHERS.items() for name in names}
    assert expected <= set(entries())


def test_the_reference_names_nothing_twice_and_nothing_that_is_not_there() -> None:
    found = entries()
    assert len(found) == len(set(found))
    for entry in found:
        module, _, name = entry.rpartition(".")
        if HAS_LAVA:
            assert hasattr(importlib.import_module(module), name), entry


# Hooks


def hook(name: str) -> ModuleType:
    """A module of docs/hooks; MkDocs is there only for development."""
    pytest.importorskip("mkdocs")
    return importlib.import_module(name)


def test_lists_are_indented_as_python_markdown_wants_it() -> None:
    indented = hook("site_lists").indented
    text = "- one\n  more\n\n      code\n  - inner\n\n1. first\n\n       code\n\ntext\n\n    - code\n"
    expected = "- one\n    more\n\n        code\n    - inner\n\n1. first\n\n        code\n\ntext\n\n    - code\n"
    assert indented(text) == expected


def test_fences_in_lists_keep_what_is_in_them() -> None:
    text = "- one\n\n  ```text\n  - no entry\n  ```\n\nend"
    assert hook("site_lists").indented(text) == "- one\n\n    ```text\n    - no entry\n    ```\n\nend"


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("design.md", "arithmetic.md", "design.md"),
        ("../CONTRIBUTING.md", "design.md", "CONTRIBUTING.md"),
        ("../README.md", "limits.md", "index.md"),
        ("../../tutorials/01_x.ipynb", "how-to/index.md", "../tutorials/01_x.md"),
        ("docs/nir.md", "index.md", "nir.md"),
        ("LICENSE", "index.md", "source/LICENSE.md"),
        ("../docs/arithmetic.md", "tutorials/01_x.md", "../arithmetic.md"),
        ("02_y.ipynb", "tutorials/01_x.md", "02_y.md"),
        ("01_x-3.png", "tutorials/01_x.md", "01_x-3.png"),
        ("../lava_aug/energy.py", "experiments.md", "source/lava_aug/energy.py.md"),
        ("https://example.org", "nir.md", "https://example.org"),
    ],
)
def test_links_lead_to_the_pages_of_files(link: str, page: str, expected: str) -> None:
    assert hook("site_links").turned(link, page) == expected


def test_formulas_in_docstrings_become_markdown() -> None:
    as_markdown = hook("site_docstrings").as_markdown
    assert as_markdown("It does::\n\n    a = b\n\n::\n\n    c\n") == "It does:\n\n    a = b\n\n\n    c\n"


def test_a_tutorial_becomes_a_page_with_its_pictures() -> None:
    pages = hook("site_pages")
    path = pages.notebooks()[0]
    files = dict(pages.notebook_files(path))
    text = files[pages.notebook_page(path)]
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert all(files[f"tutorials/{name}"].startswith(b"\x89PNG") for name in pictures)
    assert "```python" in text


def test_the_command_line_has_a_section_for_each_command() -> None:
    from lava_aug.commands import COMMANDS

    text = hook("site_pages").command_line()
    assert len(COMMANDS) >= 12
    for command in COMMANDS:
        assert f"## `lava-aug {command.function.__name__}`" in text
    assert "..." not in text.partition("## `lava-aug")[0].partition("**Commands**")[2]


def test_declared_parameters_are_documented_with_those_of_bases() -> None:
    hook("site_docstrings")
    griffe = importlib.import_module("griffe")
    extensions = griffe.load_extensions(str(ROOT / "docs" / "hooks" / "site_docstrings.py"))
    package = griffe.load("lava_aug", search_paths=[str(ROOT)], extensions=extensions, resolve_aliases=True)
    for name, expected in {
        "neurons.AugmentedNeuron": "vth_lo vth v0 n_max message_bits",
        "layers.Conv": "weight",
    }.items():
        text = package[name].final_target.docstring.value if package[name].is_alias else package[name].docstring.value
        section = text.partition("\nAttributes\n----------\n")[2]
        assert set(expected.split()) <= set(re.findall(r"^(\w+) : ", section, re.MULTILINE)), name
