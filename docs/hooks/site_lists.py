"""What GitHub takes for a list, in the form that Python-Markdown takes for the same list.

GitHub wants what belongs to an entry below the entry's first letter ("- " two columns, "1. " three); Python-Markdown
wants four columns for each level.
"""

import re
from collections.abc import Iterator
from typing import Any

ENTRY = re.compile(r"( *)((?:[-*]|\d+\.) +)(?=\S)")
FENCE = re.compile(r" *(`{3,})")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Indent the lists of a page."""
    return indented(markdown)


def indented(markdown: str) -> str:
    """The same text with four columns for each level of a list."""
    return "\n".join(_lines(markdown.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    levels: list[int] = []  # where the texts of the open entries begin
    fence = ""
    for line in lines:
        start = len(line) - len(line.lstrip())
        if not line.strip():
            yield line
            continue
        if not fence:
            while levels and start < levels[-1]:
                levels.pop()
        depth = len(levels)
        inner = line[levels[-1] :] if levels and start >= levels[-1] else line.lstrip() if levels else line
        yield " " * (4 * depth) + inner
        ticks = FENCE.match(line)
        if ticks and (not fence or line.strip() == fence):
            fence = "" if fence else ticks[1]
        entry = None if fence or ticks else ENTRY.match(inner)
        if entry and len(entry[1]) < 4:
            levels.append((levels[-1] if levels else 0) + len(entry[0]))
