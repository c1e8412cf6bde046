"""Calling the command line as a shell does, in this process."""

import sys

from lava_aug import cli


def run(*arguments: str) -> int:
    """Run ``lava-aug`` with these arguments; its exit code."""
    sys.argv = ["lava-aug", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
