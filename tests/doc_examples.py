"""The examples of a Markdown page: Python, what it prints, and commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "docs" / "results.md"
"""A page that `lava-aug report` has written; its commands are those that computed it, on whole test sets."""

PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")} - {WRITTEN})
"""Pages whose examples are run; the changelog has none."""

MARK = re.compile(r"<!-- not executed: (.*?) -->")
FENCE = re.compile(r"( *)(`{3,})(\w*)")
SHELL = {"", "sh", "bash", "console", "text"}
NEEDS_LAVA = re.compile(
    r"\bla\.(run|netx\.run|supervise|verify|FastSimCfg)\b|lava_aug\.(processes|testing)|^\s*(from|import) lava\b", re.M
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes
    ----------
    line : int
        Of the page, from 1.
    language : str
        What the fence says; nothing for an indented block.
    text : str
        Without fence and indentation.
    reason : str
        Why it is not run, if the page says so above it.
    follows : bool
        Whether nothing but blank lines is between this and the block before.
    """

    line: int
    language: str
    text: str
    reason: str = ""
    follows: bool = False


def blocks(text: str) -> list[Block]:
    """All blocks of a page, fenced and indented, in order."""
    lines = text.splitlines()
    found: list[Block] = []
    index, reason, between = 0, "", True
    while index < len(lines):
        end, language = _end(lines, index)
        if end == index:
            mark = MARK.search(lines[index])
            reason = mark[1] if mark else "" if lines[index].strip() else reason
            between = between or bool(lines[index].strip())
            index += 1
            continue
        inside = lines[index + 1 : end - 1] if language is not None else lines[index:end]
        found.append(Block(index + 1, language or "", _dedented(inside), reason, not between))
        index, reason, between = end, "", False
    return found


def _end(lines: list[str], index: int) -> tuple[int, str | None]:
    """Where a block that begins with this line ends, and its language, None if it is indented; else the line itself."""
    fence = FENCE.match(lines[index])
    if fence:
        closing = (number for number in range(index + 1, len(lines)) if lines[number].strip() == fence[2])
        return next(closing) + 1, fence[3]
    if not _indented(lines[index]) or not _may_begin(lines, index):
        return index, None
    end = index
    while end < len(lines) and (_indented(lines[end]) or not lines[end].strip()):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return end, None


def _indented(line: str) -> bool:
    return line.startswith("    ") and bool(line.strip())


def _may_begin(lines: list[str], index: int) -> bool:
    """Whether an indented block may begin here: behind an empty line, or at the top."""
    return index == 0 or not lines[index - 1].strip()


def _dedented(lines: list[str]) -> str:
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(f"{line[margin:]}\n" for line in lines)


def python_blocks(page: Path) -> list[tuple[Block, str | None]]:
    """Every Python block with what it is said to print, None if nothing is said."""
    found = blocks(page.read_text(encoding="utf-8"))
    pairs = zip(found, [*found[1:], None], strict=False)
    return [
        (block, after.text if after and after.follows and after.language == "text" else None)
        for block, after in pairs
        if block.language == "python"
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every ``lava-aug`` command in a text, one line each; comments and ``uv run`` are left out."""
    for line in text.splitlines():
        for part in line.split("&&"):
            command = re.match(r"\s*(?:\$ )?(?:uv run )?lava-aug (?=[a-z-])(.*)", part)
            if command:
                yield shlex.split(command[1], comments=True)


def as_number(word: str) -> float | None:
    """A number as it may stand in a text, such as 1,024 or 99.4%."""
    try:
        return float(word.rstrip("%,.").replace(",", ""))
    except ValueError:
        return None


def same_output(found: str, expected: str) -> bool:
    """Whether two texts have the same words; numbers, which depend on the machine's float sums, may differ by 10 %."""
    pairs = [re.sub(r"-{3,}|\.\.", " ", text).split() for text in (found, expected)]
    if len(pairs[0]) != len(pairs[1]):
        return False
    for one, other in zip(*pairs, strict=True):
        numbers = as_number(one), as_number(other)
        if one != other and (None in numbers or numbers[0] != pytest.approx(numbers[1], rel=0.1)):
            return False
    return True
