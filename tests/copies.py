"""Copies of the project in which the steps that `CONTRIBUTING.md` prints are done, and programs that run there."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("lava_aug", "processes", "tests", "docs", "pyproject.toml", "CONTRIBUTING.md", "README.md")


def section_of(title: str) -> str:
    """A section of `CONTRIBUTING.md`."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def blocks_of(section: str) -> list[str]:
    """The code that a section marks as not executed in place, in order."""
    marked = re.findall(r"<!-- not executed.*?-->\n\n((?: +[^\n]*\n|\n)+?)(?=\n*(?: {0,3}\S|\Z))", section)
    return [textwrap.dedent(block).strip("\n") for block in marked]


def copy_project(folder: Path) -> Path:
    """A copy of what the tests read; with it what numba has compiled, which is valid as long as the sources are."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.pyc*", "*.tmp.*")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, folder)
    return folder


def insert(path: Path, before: str, text: str, until: str = "") -> None:
    """Put a text before the first place where another one stands; or in place of what stands from there ``until``."""
    head, found, rest = path.read_text(encoding="utf-8").partition(before)
    assert found, f"{path.name} has no {before!r}"
    path.write_text(head + text + (rest.partition(until)[2] if until else found + rest), encoding="utf-8")


def output_of(project: Path, *arguments: str) -> str:
    """What Python prints in a copy, with the copy's package."""
    environment = os.environ | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout
