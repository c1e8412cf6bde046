"""Pages that are not in docs/: the README as home page, tutorials, the command line, and sources that pages link to.

All are made when the site is built, and none is stored.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]

TOP = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
"""Pages at the top of the repository, and what they are called in the site."""

LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "bash", "run": "bash"}
"""How the sources that pages link to are coloured."""

LINK = re.compile(r"(?<!`)(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
"""A relative link: what is in front of the path, the path, and what is behind it."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Folders in the navigation become their pages."""
    config.nav = [entry for item in config.nav or [] for entry in _entries(item)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, page in TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    for path in notebooks():
        for name, content in notebook_files(path):
            files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    for path in sorted(linked_sources()):
        files.append(File.generated(config, source_page(path), content=source_text(path)))
    return files


# Navigation


def _entries(item: Any) -> Iterator[Any]:
    """What stands for an entry of the navigation: itself, one with the pages of a folder, or nothing."""
    title, target = next(iter(item.items())) if isinstance(item, dict) else (None, item)
    if isinstance(target, list):
        yield {title: [entry for child in target for entry in _entries(child)]}
    elif target == "tutorials/":
        yield {title: [{notebook_title(path): notebook_page(path)} for path in notebooks()]}
    elif target.endswith("?"):
        if (ROOT / "docs" / target[:-1]).is_file():
            yield {title: target[:-1]}
    else:
        yield item


# Tutorials


def notebooks() -> list[Path]:
    """The tutorials, in the order of their numbers."""
    return sorted((ROOT / "tutorials").glob("*.ipynb"))


def notebook_page(path: Path) -> str:
    """The tutorial's page in the site."""
    return f"tutorials/{path.stem}.md"


def notebook_title(path: Path) -> str:
    """The first heading, without the word that the navigation says anyway."""
    heading = re.search(r"^# (.*)$", nbformat.read(path, as_version=4).cells[0].source, re.MULTILINE)
    return re.sub(r"^Tutorial (\d+): ", r"\1 ", heading[1]) if heading else path.stem


def notebook_files(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """The page of a tutorial, with the outputs that are stored in it, and its pictures: names and contents."""
    parts: list[str] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            parts.append(fenced(cell.source, "python"))
        elif cell.cell_type == "markdown":
            parts.append(cell.source)
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture is None:
                parts.append(output_text(output))
                continue
            name = f"{path.stem}-{len(parts)}.png"
            parts.append(f"![Output of the cell above]({name})")
            yield f"tutorials/{name}", base64.b64decode(picture)
    yield notebook_page(path), "\n\n".join(parts) + "\n"


def output_text(output: NotebookNode) -> str:
    """What a cell printed or returned: HTML where there is some, as in a table, otherwise its text."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">\n{data["text/html"]}\n</div>'
    text = output.get("text") or data.get("text/plain") or "\n".join(output.get("traceback", []))
    return fenced(text, "text { .output }")


def fenced(text: str, language: str) -> str:
    """A block of code, with a fence that is longer than any in it."""
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall(r"^`{3,}", text, re.MULTILINE))])
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


# Command line


def command_line() -> str:
    """What ``--help`` says of all commands, by typer's own generator."""
    import typer
    from typer.cli import get_docs_for_click

    from lava_aug.commands.cli import app

    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="lava-aug")
    text = get_docs_for_click(obj=command, ctx=context, name="lava-aug", title="Command line")
    # The generator cuts descriptions short in the list of commands.
    whole = {name: (found.help or "").splitlines()[0] for name, found in command.commands.items()}
    listed = re.compile(rf"^\* `({'|'.join(whole)})`: .*$", re.MULTILINE)
    return listed.sub(lambda found: f"* [`{found[1]}`](#lava-aug-{found[1]}): {whole[found[1]]}", text)


# Sources


def linked_sources() -> set[Path]:
    """Files of the repository that are no pages, and that pages link to, by their path from its top."""
    found = set[Path]()
    for page in [*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md")]:
        for _, path, _ in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / path).resolve()
            inside = target.is_relative_to(ROOT) and not target.is_relative_to(ROOT / "docs")
            if inside and target.is_file() and target.suffix not in {".md", ".ipynb"}:
                found.add(target.relative_to(ROOT))
    return found


def source_page(path: Path) -> str:
    """The page that shows a source."""
    return f"source/{path.as_posix()}.md"


def source_text(path: Path) -> str:
    """A source as a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(path.suffix or path.name, "text")
    return f"---\ntitle: {path.name}\nsearch:\n  exclude: true\n---\n\n# {path}\n\n{fenced(text, language)}\n"
