"""Importing Lava: it sets multiprocessing's start method, and does not take no for an answer."""

import multiprocessing
import platform

from lava_aug.errors import BackendError


def import_lava() -> None:
    """Import Lava, or say in one sentence why that cannot be.

    Raises
    ------
    BackendError
        If Lava is not installed, or multiprocessing's start method has been set to something else than fork.
    """
    method = multiprocessing.get_start_method(allow_none=True)
    if method not in (None, "fork"):
        raise BackendError(
            f"Lava needs multiprocessing's start method 'fork', but it has been set to {method!r}; "
            "import lava_aug.deploy before whatever sets it, or leave it alone"
        )
    try:
        if method is not None:
            multiprocessing.set_start_method(None, force=True)  # Lava sets it to fork, and fails if it is set
        import lava.magma.core.process.process  # pyright: ignore[reportUnusedImport]
        import lava.magma.runtime.message_infrastructure.multiprocessing  # noqa: F401
    except ImportError as error:
        raise BackendError(
            "lava_aug.run needs Lava, whose last releases (lava-nc 0.10.0, lava-dl 0.6.0) exist for Python 3.10 only; "
            f"this is Python {platform.python_version()}. Use Python 3.10, or lava_aug.simulate, which gives the same."
        ) from error
    finally:
        if multiprocessing.get_start_method(allow_none=True) is None and method is not None:
            multiprocessing.set_start_method(method)
