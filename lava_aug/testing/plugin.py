"""The pytest plugin of `lava_aug.testing`, which pytest loads automatically.

- ``@pytest.mark.lava`` or ``@pytest.mark.lava(timeout=20)``: the test runs Lava. It is skipped if Lava is not
  installed, has a time limit (default: the ini option ``lava_timeout``, 60 seconds; pytest-timeout's own marker and
  options take precedence), and must leave no child process and no shared memory behind.
- the fixture ``run_process``: `lava_aug.testing.run_process`, with the same checks for a test without the marker;
- the fixture ``nothing_left``: only the check for leftovers.

Other tests are not affected. Loading the plugin imports neither Lava nor torch.
"""

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from importlib.metadata import distributions
from typing import Any

import pytest

TIMEOUT = "60"
"""Seconds, unless the ini file or the marker says otherwise."""

_before = pytest.StashKey[set[str]]()


def pytest_addoption(parser: Any) -> None:
    """The ini option."""
    parser.addini("lava_timeout", "seconds that a test with the marker lava may take", default=TIMEOUT)


def pytest_configure(config: Any) -> None:
    """The marker."""
    text = "lava(timeout=...): runs Lava; bounded in time, leaves nothing behind, skipped where Lava is not installed"
    config.addinivalue_line("markers", text)


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Skip what cannot run; where pytest-timeout is there, hand the time limit to it."""
    has_lava, has_timeout = any(distributions(name="lava-nc")), _has_timeout(config)
    for item in items:
        if item.get_closest_marker("lava") is None:
            continue
        if not has_lava:
            item.add_marker(pytest.mark.skip(reason="needs Lava"))
        elif has_timeout and item.get_closest_marker("timeout") is None:
            _hand_over(config, item)


def _has_timeout(config: Any) -> bool:
    """Whether pytest-timeout is there, under the name of its entry point or of its module."""
    return any(config.pluginmanager.hasplugin(name) for name in ("timeout", "pytest_timeout"))


def _hand_over(config: Any, item: Any) -> None:
    own = item.get_closest_marker("lava").kwargs.get("timeout")
    usual = config.getoption("timeout", None) is not None or config.getini("timeout")
    if own is not None or not usual:
        item.add_marker(pytest.mark.timeout(_seconds(config, own)))


def _seconds(config: Any, own: Any) -> float:
    limit = config.getini("lava_timeout") if own is None else own
    try:
        seconds = float(limit)
    except (TypeError, ValueError):
        seconds = 0.0
    if seconds <= 0:
        raise pytest.UsageError(f"lava: timeout: expected a positive number of seconds, found {limit!r}")
    return seconds


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    """The time limit, where pytest-timeout does not keep it."""
    marker = item.get_closest_marker("lava")
    if marker is None or _has_timeout(item.config):
        yield
        return
    stop = _alarm(_seconds(item.config, marker.kwargs.get("timeout")))
    try:
        yield
    finally:
        stop()


def _alarm(seconds: float) -> Callable[[], None]:
    """Fail the test after some time; what is returned calls it off."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return lambda: None

    def end(*_: Any) -> None:
        pytest.fail(f"the test took more than {seconds:g} seconds (marker lava)")

    usual = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)

    def stop() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)

    return stop


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """What was there before the test."""
    if item.get_closest_marker("lava") is not None:
        from lava_aug.testing.leftovers import leftovers

        item.stash[_before] = leftovers()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: Any) -> Generator[None, Any, None]:
    """After all fixtures are gone: what is left."""
    outcome: Any = yield
    if outcome.excinfo is None and _before in item.stash:
        from lava_aug.testing.leftovers import check_leftovers

        try:
            check_leftovers(item.stash[_before])
        except AssertionError as error:
            outcome.force_exception(pytest.fail.Exception(str(error), pytrace=False))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The test must leave no child process and no shared memory behind."""
    from lava_aug.testing.leftovers import nothing_left

    with nothing_left():
        yield


@pytest.fixture
def run_process(nothing_left: None) -> Callable[..., Any]:
    """`lava_aug.testing.run_process`; the test is skipped where Lava is not installed."""
    if not any(distributions(name="lava-nc")):
        pytest.skip("needs Lava")
    from lava_aug.testing import run_process

    return run_process
