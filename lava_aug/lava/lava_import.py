"""Importing Lava, which insists on setting multiprocessing's start method, and does not support Python 3.11."""

import contextlib
import dataclasses
import functools
import io
import multiprocessing
import platform
import sys
import warnings
from collections.abc import Callable, Generator
from typing import Any

from lava_aug.core.errors import BackendError

MENDED = "lava.magma.compiler.var_model"
"""Lava's one module that cannot be imported from Python 3.11 on."""


def import_lava() -> None:
    """Import Lava, or say in one sentence why that cannot be.

    Raises
    ------
    BackendError
        If Lava is not installed, or multiprocessing's start method has been set to something else than fork.
    """
    method: Any = multiprocessing.get_start_method(allow_none=True)
    if method not in (None, "fork"):
        raise BackendError(
            f"Lava needs multiprocessing's start method 'fork', but it has been set to {method!r}; "
            "import lava_aug.lava.deploy before whatever sets it, or do not set it"
        )
    try:
        if method is not None:
            multiprocessing.set_start_method(None, force=True)  # Lava sets it to fork, and fails if it is set
        with _hashable_defaults() if sys.version_info >= (3, 11) else contextlib.nullcontext():
            import lava.magma.core.process.process  # pyright: ignore[reportUnusedImport]
            import lava.magma.runtime.message_infrastructure.multiprocessing  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise BackendError(
            "lava_aug.run needs Lava, whose last releases (lava-nc 0.10.0, lava-dl 0.6.0) support Python 3.10 only; "
            f"this is Python {platform.python_version()}. Use Python 3.10, or lava_aug.simulate, which is equivalent, "
            "or install Lava by hand as described in the README under Limits."
        ) from error
    finally:
        now: Any = multiprocessing.get_start_method(allow_none=True)
        if now is None and method is not None:
            multiprocessing.set_start_method(method)


def import_netx() -> Any:
    """lava-dl's ``netx.hdf5``, without what lava-dl prints and warns of when it is imported: it is not about netx.

    Raises
    ------
    BackendError
        If lava-dl is not available.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            from lava.lib.dl.netx import hdf5
    except ImportError as error:
        raise BackendError(f"networks of lava-dl need lava-dl 0.6 to run: {error}; uv run installs it") from error
    return hdf5


@contextlib.contextmanager
def _hashable_defaults() -> Generator[None, None, None]:
    """Lets Lava have dataclasses as defaults of dataclass fields, which Python 3.11 refuses unless they are hashable.

    Those of `MENDED` are hashable while it lasts. Afterwards everything is as it was.
    """
    original: Callable[..., Any] = dataclasses.dataclass
    hashable: list[Any] = []

    def mended(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return functools.partial(mended, **options)
        made = original(cls, **options)
        if made.__module__ == MENDED and made.__hash__ is None:
            made.__hash__ = object.__hash__
            hashable.append(made)
        return made

    dataclasses.dataclass = mended
    try:
        yield
    finally:
        dataclasses.dataclass = original
        _give_back(mended, original)
        for made in hashable:
            made.__hash__ = None


def _give_back(mended: Callable[..., Any], original: Callable[..., Any]) -> None:
    """Replace the decorator in modules that have taken it meanwhile."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        for name in [name for name, value in list(names.items()) if value is mended]:
            names[name] = original
