"""Where the parts of an experiment are computed: this process, others on this machine, or an existing cluster.

A worker may die at any time. What it had not finished is given to another one, by the engine or here. What it had
finished has already arrived, or is computed again, with the same result.

Processes on this machine and ray are joblib's. Ray's backend there gives no result before it has all of them, so it
gets its calls in rounds. Dask is ours, since joblib's backend (of joblib 1.6) leaves a cluster of one thread alone and
computes in this process, without a word, and waits for ever once all workers have died.
"""

import asyncio
import contextlib
import importlib
import queue
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from lava_aug.core.errors import BackendError, BackendWarning, InputError

EngineName = Literal["serial", "loky", "dask", "ray"]

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often in a row workers may die without a single result, before it is an error."""

PATIENCE = 30.0
"""Seconds for which a dask scheduler may have no worker."""

LOOK_AGAIN = 2.0
"""Seconds without a result after which it is looked at whether there are scheduler and workers."""

SAME_VERSIONS = "install the same versions of Python, lava-aug, torch and numpy everywhere"

ONE_BY_ONE: dict[str, Any] = {"batch_size": 1}
"""Of joblib: units are large; and what is in a batch is lost together."""


Calls = list[tuple[Any, ...]]
"""Function, arguments and named arguments, as `joblib.delayed` makes them."""


class Engine(NamedTuple):
    """Something that calls functions elsewhere.

    Attributes
    ----------
    package : str
        Name of the package to import, and of our extra.
    connect : callable
        Takes the scheduler's address; a context that gives what `run` needs.
    run : callable
        Takes calls, what `connect` gave, and the number of jobs, if there is one; gives results, in any order.
    deaths : tuple of str
        ``module:class`` of the errors that tell of a worker's death; those that a version has not are left out.
    """

    package: str
    connect: Callable[[str | None], contextlib.AbstractContextManager[Any]]
    run: Callable[[Calls, Any, int | None], Iterator[Any]]
    deaths: tuple[str, ...]

    def death_errors(self) -> tuple[type[Exception], ...]:
        """The classes of `deaths`."""
        pairs = (name.split(":") for name in self.deaths)
        classes = (getattr(importlib.import_module(module), name, None) for module, name in pairs)
        return tuple(error for error in classes if error is not None)


# Processes on this machine


@contextlib.contextmanager
def _processes(scheduler: str | None) -> Generator[str, None, None]:
    if scheduler is not None:
        raise InputError(f"engine 'loky': expected no scheduler, as it runs on this machine, found {scheduler!r}")
    yield "loky"


def _streamed(calls: Calls, backend: str, jobs: int | None) -> Iterator[Any]:
    from joblib import Parallel, parallel_config

    with parallel_config(backend, n_jobs=jobs or -1):
        results: Any = Parallel(return_as="generator_unordered", **ONE_BY_ONE)(calls)
    with contextlib.closing(results):
        yield from results


# Dask


@contextlib.contextmanager
def _dask(scheduler: str | None) -> Generator[Any, None, None]:
    from dask import config
    from distributed import Client

    if scheduler is None:
        raise InputError("engine 'dask': expected a scheduler such as tcp://127.0.0.1:8786; start one: dask scheduler")
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        raise BackendError(f"engine 'dask': no scheduler at {scheduler!r}: {error}") from error
    # A part's images and network are more than what dask warns of, and each is sent once.
    with client, config.set({"distributed.admin.large-graph-warning-threshold": "100GB"}):
        yield client


def _submitted(calls: Calls, client: Any, jobs: int | None) -> Iterator[Any]:
    """Every thread of every worker has the next call at hand, and the scheduler little to keep."""
    del jobs  # all that there are
    left, running, finished = calls[::-1], set[Any](), queue.Queue[Any]()
    with _scheduler_errors(client):
        while left or running:
            for _ in range(min(len(left), 2 * _threads(client) - len(running))):
                function, arguments, named = left.pop()
                future = client.submit(function, *arguments, **named, pure=False)
                future.add_done_callback(finished.put)
                running.add(future)
            with contextlib.suppress(queue.Empty):
                future = finished.get(timeout=LOOK_AGAIN)
                running.remove(future)
                yield future.result()


def _threads(client: Any) -> int:
    """Of all workers; the first of them may take a while."""
    try:
        client.wait_for_workers(1, PATIENCE)
    except asyncio.TimeoutError:
        address = client.scheduler.address
        raise BackendError(
            f"engine 'dask': the scheduler at {address!r} had no worker for {PATIENCE:g} s; start some: "
            f"dask worker {address} --nthreads 1"
        ) from None
    return sum(client.ncores().values())


@contextlib.contextmanager
def _scheduler_errors(client: Any) -> Generator[None, None, None]:
    """What tells that the scheduler is gone, or another one than is needed, in words."""
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    try:
        yield
    except (CancelledError, OSError, RuntimeError) as error:
        if "deserialization of the task graph" in str(error):
            text = f"the scheduler cannot read what it is sent: {error.__cause__ or error}; {SAME_VERSIONS}"
        elif isinstance(error, (CancelledError, CommClosedError)) or client.status != "running":
            text = (
                f"lost the scheduler ({error}); where parts are kept, what had arrived is among them: start it, and "
                "call again to go on from there"
            )
        else:
            raise  # what a call raised
        raise BackendError(f"engine 'dask': {text}") from error


# Ray


@contextlib.contextmanager
def _ray(scheduler: str | None) -> Generator[str, None, None]:
    import ray  # pyright: ignore[reportMissingModuleSource]
    from ray.util.joblib import register_ray  # pyright: ignore[reportMissingModuleSource]

    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=scheduler or "auto", log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise BackendError(f"engine 'ray': no cluster at {scheduler or 'auto'!r}: {error}") from error
    try:
        register_ray()
        yield "ray"
    finally:
        if ours:
            ray.shutdown()


def _in_rounds(calls: Calls, backend: str, jobs: int | None) -> Iterator[Any]:
    """Where results come all at once: a few for each worker at a time, so that not all is lost with a death."""
    from joblib import Parallel, effective_n_jobs, parallel_config

    with parallel_config(backend):
        cores: Any = effective_n_jobs(jobs or -1)
        workers = int(cores)
    if workers == 1:
        text = f"engine {backend!r}: there is one core to compute with, and so joblib computes in this process"
        warnings.warn(text, BackendWarning, stacklevel=2)
    size = 8 * workers
    for start in range(0, len(calls), size):
        with parallel_config(backend, n_jobs=jobs or -1):
            results: Any = Parallel(**ONE_BY_ONE)(calls[start : start + size])
        yield from results


ENGINES: dict[str, Engine] = {
    "loky": Engine("joblib", _processes, _streamed, ("joblib.externals.loky.process_executor:TerminatedWorkerError",)),
    "dask": Engine("distributed", _dask, _submitted, ("distributed.scheduler:KilledWorker",)),
    "ray": Engine(
        "ray",
        _ray,
        _in_rounds,
        tuple(
            f"ray.exceptions:{name}"
            for name in ("RayActorError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError", "RaySystemError")
        ),
    ),
}
"""What work can be spread over; beside them there is "serial"."""


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
    chosen = ENGINES[engine]
    try:
        importlib.import_module(chosen.package)
    except ImportError:
        raise InputError(f"engine {engine!r} is not installed; pip install 'lava-aug[{engine}]'") from None
    with chosen.connect(scheduler) as connected:
        yield from _until_done(
            engine, lambda calls: chosen.run(calls, connected, jobs), function, items, chosen.death_errors()
        )


def _until_done(
    engine: EngineName,
    run: Callable[[Calls], Iterator[Any]],
    function: Callable[[Item], Result],
    items: Sequence[Item],
    deaths: tuple[type[Exception], ...],
) -> Iterator[tuple[int, Result]]:
    """All items once; those that a death has taken along are tried again."""
    missing, failures = dict(enumerate(items)), 0
    while missing:
        try:
            for index, result in run([(_numbered, (function, index, item), {}) for index, item in missing.items()]):
                del missing[index]
                failures = 0
                yield index, result
        except deaths as error:
            failures += 1
            if failures == ATTEMPTS:
                text = f"workers have died {ATTEMPTS} times in a row, {len(missing)} parts are left: {error}"
                raise BackendError(f"engine {engine!r}: {text}; they may lack memory") from error
        except ImportError as error:
            text = f"a worker cannot import what it needs: {error}; {SAME_VERSIONS}"
            raise BackendError(f"engine {engine!r}: {text}") from error


def _numbered(function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    return index, function(item)
