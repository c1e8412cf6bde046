"""Calling the command line as a shell does, in this process; and running programs in others."""

import subprocess
import sys
from pathlib import Path

from lava_aug.commands import cli


def run(*arguments: str) -> int:
    """Run ``lava-aug`` with these arguments; its exit code."""
    sys.argv = ["lava-aug", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def run_python(code: str, where: Path) -> str:
    """What a program prints, run by an interpreter of its own in a folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
