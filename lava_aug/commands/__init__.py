"""The commands of ``lava-aug``: each is a thin wrapper around a public function."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., None])


class Command(NamedTuple):
    """A command: what runs it, an example for its help, and its place among the others."""

    function: Callable[..., Any]
    example: str
    order: int


COMMANDS: list[Command] = []
"""All that modules of this package have entered by the decorator `command`; `lava_aug.commands.cli` imports them."""


def command(example: str, order: int) -> Callable[[CommandFunction], CommandFunction]:
    """Decorator: make a function a command of ``lava-aug``, whose name and help are the function's.

    Parameters
    ----------
    example : str
        For its help.
    order : int
        Its place in ``lava-aug --help``: commands with smaller numbers come before it.
    """

    def enter(function: CommandFunction) -> CommandFunction:
        COMMANDS.append(Command(function, example, order))
        return function

    return enter
