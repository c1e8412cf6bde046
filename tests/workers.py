"""What tests of engines have their workers do; here, where workers can import it."""

import importlib
import os
import signal
from pathlib import Path


def die_once(item: tuple[str, int]) -> int:
    """Kills its own process the first time that it sees number 3."""
    folder, number = item
    if number == 3:
        try:
            (Path(folder) / "died").touch(exist_ok=False)
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(item: int) -> None:
    """Kills its own process."""
    os.kill(os.getpid(), signal.SIGKILL)


def process_id(item: int) -> int:
    """Who computes."""
    return os.getpid()


def not_three(item: int) -> int:
    """An error of what is computed, and not of who does."""
    if item == 3:
        raise ValueError("not 3")
    return item


def import_what_is_not_there(item: int) -> None:
    """As if this worker had not what it needs."""
    importlib.import_module("x_that_is_not_there")
