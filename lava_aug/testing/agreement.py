"""`assert_models_agree`: several ProcessModels of one Process, with the same inputs."""

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lava_aug.core.errors import BackendError, InputError, LavaAugError
from lava_aug.testing.driving import TIMEOUT, run_process
from lava_aug.testing.traces import Trace, assert_traces_equal

MARGIN = 30.0
"""Seconds that starting and ending the process around a run may take."""


def assert_models_agree(
    process: Any,
    inputs: Mapping[str, Any],
    *,
    tags: Iterable[str] = (),
    models: Iterable[Any] = (),
    run_cfgs: Iterable[Any] = (),
    rtol: float = 0.0,
    atol: float = 0.0,
    timeout: float = TIMEOUT,
    **options: Any,
) -> Trace:
    """Run a Process with several of its ProcessModels, and compare what they send.

    Parameters
    ----------
    process : AbstractProcess, a sequence of them, or a function that makes one of these
        A Process that has not run yet. Each run is in a separate forked process, so that one Process serves all of
        them, and nothing changes in this process.
    inputs : mapping of str to array, shape (T, *shape)
        As for `run_process`.
    tags, models, run_cfgs : iterables
        Which models to compare: each is one run with this option of `run_process`. The very first is the reference.
    rtol, atol : float
        As for `assert_traces_equal`.
    timeout : float
        Time limit of each run, in seconds.
    **options
        Other options of `run_process`, such as ``num_steps`` and ``probe``.

    Returns
    -------
    Trace
        The trace of the first run.

    Raises
    ------
    AssertionError
        If two traces differ; the message names the models and the first difference.
    InputError, BackendError
        As `run_process`; or if fewer than two models are given.
    """
    variants = [("tag", tag) for tag in tags] + [("model", model) for model in models]
    variants += [("run_cfg", run_cfg) for run_cfg in run_cfgs]
    if len(variants) < 2:
        raise InputError(f"assert_models_agree: expected at least two of tags, models and run_cfgs, found {variants}")
    traces = [
        _elsewhere(lambda v=v: _run(process, inputs, {**options, v[0]: v[1], "timeout": timeout}), timeout)
        for v in variants
    ]
    labels = [f"{kind} {getattr(value, '__name__', value)!s}" for kind, value in variants]
    for trace, label in zip(traces[1:], labels[1:], strict=True):
        assert_traces_equal(trace, traces[0], rtol=rtol, atol=atol, names=(label, labels[0]))
    return traces[0]


def _run(process: Any, inputs: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    made: Any = process() if callable(process) else process
    return dict(run_process(made, inputs, **options))


def _elsewhere(run: Callable[[], dict[str, Any]], timeout: float) -> Trace:
    """What a function returns or raises in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(run, sender))
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout + MARGIN):
            raise BackendError(f"assert_models_agree: no answer within {timeout + MARGIN:g} seconds")
        answer = receiver.recv()
    except EOFError:
        child.join()
        raise BackendError(f"assert_models_agree: the run ended with exit code {child.exitcode}") from None
    except BaseException:
        child.kill()
        raise
    finally:
        receiver.close()
        child.join()
    if isinstance(answer, BaseException):
        raise answer
    return Trace(answer)


def _answer(run: Callable[[], dict[str, Any]], sender: Any) -> None:
    try:
        answer: Any = run()
    except LavaAugError as error:
        answer = error
    except Exception as error:
        answer = BackendError(f"assert_models_agree: {type(error).__name__}: {error}")
    sender.send(answer)
    sender.close()
