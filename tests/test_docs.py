"""What the documentation says: its examples and its links."""

import doctest
import importlib
import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from command_line import run_python

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tutorials/**/*.md")])
SOURCES = sorted(path for path in (ROOT / "lava_aug").rglob("*.py"))

HAS_LAVA = any(distributions(name="lava-nc"))
ONLY_WITH_LAVA = (pytest.mark.lava, pytest.mark.skipif(not HAS_LAVA, reason="needs Lava"))

# Examples


def readme_blocks() -> list[tuple[str, str]]:
    """Every Python example of the README with the output that follows it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\s*```text\n(.*?)```", text, re.DOTALL)


def as_number(word: str) -> float | None:
    """A number as it may stand in a text, such as 1,024 or 99.4%."""
    try:
        return float(word.rstrip("%,.").replace(",", ""))
    except ValueError:
        return None


def same_output(found: str, expected: str) -> bool:
    """Whether two texts have the same words; numbers, which depend on the machine's float sums, may differ by 10 %."""
    pairs = [re.sub(r"-{3,}", "", text).split() for text in (found, expected)]
    if len(pairs[0]) != len(pairs[1]):
        return False
    for one, other in zip(*pairs, strict=True):
        numbers = as_number(one), as_number(other)
        if one != other and (None in numbers or numbers[0] != pytest.approx(numbers[1], rel=0.1)):
            return False
    return True


def test_the_comparison_of_outputs_sees_what_it_should() -> None:
    assert same_output("conv1  4069\n------\nafter step 1: 99.2%", "conv1 4,066\n-----\nafter step 1: 99.4%")
    assert not same_output("conv1 4069", "conv2 4069")
    assert not same_output("vth 40", "vth 50")
    assert not same_output("differences: []", "differences: [] 1")


@pytest.mark.parametrize("on_lava", [pytest.param(HAS_LAVA, marks=ONLY_WITH_LAVA if HAS_LAVA else ())])
def test_the_readmes_examples_print_what_it_says(on_lava: bool, tmp_path: Path) -> None:
    blocks = [block for block in readme_blocks() if on_lava or "la.run(" not in block[0]]
    assert len(blocks) == (2 if on_lava else 1)
    mark = "=== end of block"
    printed = run_python("\n".join(f"{code}\nprint({mark!r})" for code, _ in blocks), tmp_path).split(mark)
    for found, (_, expected) in zip(printed, blocks, strict=False):
        assert same_output(found, expected), f"found\n{found}\nexpected\n{expected}"


def test_every_python_block_of_the_readme_has_an_output() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("```python") == len(readme_blocks())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings(path: Path) -> None:
    if ">>>" not in path.read_text(encoding="utf-8"):
        return
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


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
