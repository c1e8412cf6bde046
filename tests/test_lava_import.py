"""What is changed so that Lava can be imported on Python 3.11, and that nothing of it stays."""

import dataclasses
import sys
from types import ModuleType
from typing import Any

import pytest

from lava_aug.lava.lava_import import MENDED, _hashable_defaults

SOURCE = """
from dataclasses import dataclass

@dataclass
class Inner:
    x: int = 1

@dataclass(repr=False)
class Bare:
    x: int = 2

@dataclass(frozen=True)
class Frozen:
    x: int = 3

@dataclass
class Outer:
    inner: Inner = Inner()
    bare: Bare = Bare()
"""


def imported(name: str) -> dict[str, Any]:
    """The names of a module with the source above."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(SOURCE, module.__dict__)
    return vars(module)


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_defaults_are_hashable_while_it_lasts() -> None:
    original = dataclasses.dataclass
    with _hashable_defaults():
        names = imported(MENDED)
        assert names["dataclass"] is not original
        assert names["Inner"].__hash__ is object.__hash__
    assert dataclasses.dataclass is original
    assert names["dataclass"] is original
    outer = names["Outer"]()
    assert (outer.inner, outer.bare.x) == (names["Inner"](1), 2)
    assert [names[name].__hash__ for name in ("Inner", "Bare", "Outer")] == [None] * 3
    assert hash(names["Frozen"]()) == hash(names["Frozen"]())


def test_everything_is_given_back_after_an_error() -> None:
    original = dataclasses.dataclass

    def fail() -> None:
        with _hashable_defaults():
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert dataclasses.dataclass is original


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 takes such defaults")
def test_only_lavas_module_is_mended() -> None:
    with _hashable_defaults(), pytest.raises(ValueError, match="mutable default"):
        imported("elsewhere")
