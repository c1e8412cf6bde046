"""The tables of modules in docs/design.md, from the modules' docstrings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARKER = "<!-- modules -->"
SOURCES = {"lava_aug": ROOT / "lava_aug", "lava_aug/processes": ROOT / "processes"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables in the place of the marker."""
    return markdown.replace(MARKER, "\n".join(tables())) if MARKER in markdown else markdown


def tables() -> Iterator[str]:
    """A heading and a table for the package, and for each of its rooms."""
    top = SOURCES["lava_aug"]
    for folder in [top, *sorted(path.parent for path in top.glob("*/__init__.py"))]:
        name = folder.relative_to(ROOT).as_posix()
        files = sorted(SOURCES.get(name, folder).glob("*.py"))
        yield f"### `{name}/`: {summary(folder / '__init__.py').rstrip('.')}\n"
        yield "| module | what it holds |\n|---|---|"
        yield from (f"| `{path.name}` | {summary(path)} |" for path in files if path.name != "__init__.py")
        yield ""


def summary(path: Path) -> str:
    """The first paragraph of a module's docstring, in Markdown, fit for a table."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r"``(.+?)``", r"`\1`", first).replace("|", "\\|")
