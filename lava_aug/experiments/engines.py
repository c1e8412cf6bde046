"""Who computes the parts of an experiment: this process, others on this machine, or an existing cluster, by joblib.

A worker may die at any time. What it had not finished is given to another one, by the engine or here. What it had
finished has already arrived, or is computed again, with the same result.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from lava_aug.errors import BackendError, InputError

EngineName = Literal["serial", "loky", "dask", "ray"]

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often in a row workers may die without a single result, before it is an error."""


class Engine(NamedTuple):
    """An engine of joblib.

    Attributes
    ----------
    package : str
        Name of the package to import, and of our extra.
    connect : callable
        Takes the scheduler's address; a context in which joblib's backend of the same name works, and that gives
        arguments for it.
    deaths : tuple of str
        ``module:class`` of the errors that tell of a worker's death.
    streams : bool
        Whether joblib gives results as they are finished, and not all at once.
    """

    package: str
    connect: Callable[[str | None], contextlib.AbstractContextManager[dict[str, Any]]]
    deaths: tuple[str, ...]
    streams: bool = True

    def death_errors(self) -> tuple[type[Exception], ...]:
        """The classes of `deaths`."""
        pairs = (name.split(":") for name in self.deaths)
        return tuple(getattr(importlib.import_module(module), name) for module, name in pairs)


@contextlib.contextmanager
def _processes(scheduler: str | None) -> Iterator[dict[str, Any]]:
    if scheduler is not None:
        raise InputError(f"engine 'loky': expected no scheduler, as it stays on this machine, found {scheduler!r}")
    yield {}


@contextlib.contextmanager
def _dask(scheduler: str | None) -> Iterator[dict[str, Any]]:
    from distributed import Client  # pyright: ignore[reportMissingImports]

    if scheduler is None:
        raise InputError("engine 'dask': expected a scheduler such as tcp://127.0.0.1:8786; start one: dask scheduler")
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BackendError(f"engine 'dask': no scheduler at {scheduler!r}: {error}") from error
    with client:
        yield {"client": client}


@contextlib.contextmanager
def _ray(scheduler: str | None) -> Iterator[dict[str, Any]]:
    import ray  # pyright: ignore[reportMissingImports]
    from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]

    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=scheduler or "auto", log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise BackendError(f"engine 'ray': no cluster at {scheduler or 'auto'!r}: {error}") from error
    try:
        register_ray()
        yield {}
    finally:
        if ours:
            ray.shutdown()


ENGINES: dict[str, Engine] = {
    "loky": Engine("joblib", _processes, ("joblib.externals.loky.process_executor:TerminatedWorkerError",)),
    "dask": Engine("distributed", _dask, ("distributed.scheduler:KilledWorker",)),
    "ray": Engine("ray", _ray, ("ray.exceptions:RayActorError", "ray.exceptions:WorkerCrashedError"), streams=False),
}
"""What joblib can spread work over; beside them there is "serial"."""


def spread(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    engine: EngineName = "serial",
    scheduler: str | None = None,
    jobs: int | None = None,
) -> Iterator[tuple[int, Result]]:
    """Compute ``function(item)`` for all items, wherever.

    Parameters
    ----------
    function : callable
        Something that workers can import.
    items : sequence
        Each can be pickled.
    engine : {"serial", "loky", "dask", "ray"}
        This process; processes on this machine; a cluster.
    scheduler : str, optional
        Address of the cluster: for dask such as ``tcp://127.0.0.1:8786``; for ray as `ray.init` takes it, default the
        one on this machine.
    jobs : int, optional
        Processes for loky, default one for each core; for ray, default all of its cores. Dask takes all its workers.

    Yields
    ------
    (int, result)
        Index of an item and its result, as they are finished: every index once.

    Raises
    ------
    InputError
        If there is no such engine, or it is not installed.
    BackendError
        If there is no cluster, or workers die again and again.
    """
    if engine == "serial":
        yield from ((index, function(item)) for index, item in enumerate(items))
        return
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r}: expected one of serial, {', '.join(ENGINES)}")
    found = ENGINES[engine]
    try:
        importlib.import_module(found.package)
    except ImportError:
        raise InputError(f"engine {engine!r} is not installed; pip install 'lava-aug[{engine}]'") from None
    with found.connect(scheduler) as arguments:
        backend = {"backend": engine, "n_jobs": -1 if jobs is None else jobs, **arguments}
        run = _streamed if found.streams else _in_rounds
        yield from _until_done(run, function, items, backend, found.death_errors())


Calls = list[tuple[Any, ...]]
"""As `joblib.delayed` makes them."""


ONE_BY_ONE: dict[str, Any] = {"batch_size": 1}
"""Units are large; and what is in a batch is lost together."""


def _until_done(
    run: Callable[[Calls, dict[str, Any]], Iterator[tuple[int, Any]]],
    function: Callable[[Item], Result],
    items: Sequence[Item],
    backend: dict[str, Any],
    deaths: tuple[type[Exception], ...],
) -> Iterator[tuple[int, Result]]:
    """All items once; those that a death has taken along are tried again."""
    from joblib import delayed

    missing, failures = dict(enumerate(items)), 0
    while missing:
        calls: Calls = [delayed(_numbered)(function, index, item) for index, item in missing.items()]
        try:
            for index, result in run(calls, backend):
                del missing[index]
                failures = 0
                yield index, result
        except deaths as error:
            failures += 1
            if failures == ATTEMPTS:
                text = f"workers have died {ATTEMPTS} times in a row, {len(missing)} parts are left: {error}"
                raise BackendError(f"engine {backend['backend']!r}: {text}; they may lack memory") from error


def _numbered(function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    return index, function(item)


def _streamed(calls: Calls, backend: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, parallel_config

    with parallel_config(**backend):
        results: Any = Parallel(return_as="generator_unordered", **ONE_BY_ONE)(calls)
    with contextlib.closing(results):
        yield from results


def _in_rounds(calls: Calls, backend: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Where results come all at once: a few for each worker at a time, so that not all is lost with a death."""
    from joblib import Parallel, effective_n_jobs, parallel_config

    with parallel_config(**backend):
        size = 8 * effective_n_jobs()
    for start in range(0, len(calls), size):
        with parallel_config(**backend):
            results: Any = Parallel(**ONE_BY_ONE)(calls[start : start + size])
        yield from results
