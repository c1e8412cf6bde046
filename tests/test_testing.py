"""The testing kit without Lava: comparing traces, and the pytest plugin in a pytest of its own."""

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest

from lava_aug.testing.leftovers import check_leftovers, children, leftovers, nothing_left
from lava_aug.testing.traces import Trace, assert_traces_equal

ROOT = Path(__file__).parent.parent
HAS_LAVA = any(distributions(name="lava-nc"))


# Traces


def test_a_trace_is_a_mapping_with_attributes() -> None:
    trace = Trace({"s_out": [[1, 2], [3, 4]], "lif.v": np.zeros((2, 3))})
    assert trace.s_out.tolist() == trace["s_out"].tolist() == [[1, 2], [3, 4]]
    assert (list(trace), len(trace), trace.num_steps, Trace({}).num_steps) == (["s_out", "lif.v"], 2, 2, 0)
    assert repr(trace) == "Trace(s_out int64[2, 2], lif.v float64[2, 3])"
    with pytest.raises(AttributeError, match=r"no 'v' in this trace; it has \['s_out', 'lif.v'\]"):
        _ = trace.v
    with pytest.raises(KeyError, match=r"no 'v' in this trace"):
        trace["v"]


def test_equal_traces() -> None:
    assert_traces_equal({"v": [[1.0, np.nan]], "more": [0]}, {"v": [[1.0, np.nan]]})
    assert_traces_equal({"v": [2**62 + 1]}, {"v": [2**62 + 1]})
    assert_traces_equal({"v": [1.0, 2.0]}, {"v": [1.001, 2.0]}, atol=0.01)
    assert_traces_equal({"v": [100.0]}, {"v": [101.0]}, rtol=0.01)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (
            {"v": [[0, 1], [2, 3], [4, 5]], "s": [[0], [9], [0]]},
            {"v": [[0, 1], [2, 3], [4, 6]], "s": [[0], [8], [1]]},
            "s differs first in step 1, element (0,): found 9, expected 8 (2 of 3 values differ)",
        ),
        (
            {"v": [2**62 + 1]},
            {"v": [2**62]},
            f"v differs first in step 0: found {2**62 + 1}, expected {2**62} (1 of 1 ",
        ),
        ({"v": [0.0]}, {"v": [np.nan]}, "v differs first in step 0: found 0.0, expected nan (1 of 1 values differ)"),
        ({"v": [1]}, {"s": [1]}, "found has no 's', only ['v']"),
        ({"v": [1, 2]}, {"v": [1]}, "v: found has shape (2,), expected (1,)"),
    ],
)
def test_the_first_difference_is_named(found: dict, expected: dict, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        assert_traces_equal(found, expected)


def test_tolerances_end_where_they_should() -> None:
    with pytest.raises(AssertionError, match=r"tag b 1\.0, tag a 1\.1"):
        assert_traces_equal({"v": [1.0]}, {"v": [1.1]}, atol=0.09, names=("tag b", "tag a"))


# Leftovers


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_child_that_stays_is_named() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        assert any("sleep 600" in text for text in children())
        with pytest.raises(AssertionError, match=rf"left behind: process {child.pid} \(sleep 600\); stop\(\) every"):
            check_leftovers({text for text in leftovers() if "sleep 600" not in text}, patience=0.1)
    finally:
        child.kill()
        child.wait()
    with nothing_left():
        assert not any("sleep 600" in text for text in children())


def test_what_comes_and_goes_beside_it_is_no_leftover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker of pytest-xdist makes segments all the time; what is seen once, between two looks, is not ours."""
    looks = iter([{"old", "theirs"}, {"old", "next"}])
    monkeypatch.setattr("lava_aug.testing.leftovers.leftovers", lambda: next(looks))
    check_leftovers({"old"}, patience=0)
    monkeypatch.setattr("lava_aug.testing.leftovers.leftovers", lambda: {"old", "ours"})
    with pytest.raises(AssertionError, match="left behind: ours;"):
        check_leftovers({"old"}, patience=0)


# The plugin

LEAVES = """
    import subprocess
    import pytest
    kept = []
    def leave(option):
        # ends with this pytest, which closes what it reads
        kept.append(subprocess.Popen(["cat", option], stdin=subprocess.PIPE))
    @pytest.mark.lava
    def test_leaves():
        leave("-b")
    def test_unmarked():
        leave("-e")
    def test_fixture(nothing_left):
        leave("-n")
    @pytest.mark.lava
    def test_clean():
        subprocess.run(["sleep", "0"])
"""
SLOW = """
    import time
    import pytest
    @pytest.mark.lava(timeout=0.3)
    def test_slow():
        time.sleep(600)
    @pytest.mark.lava
    def test_default():
        time.sleep(0.1)
    def test_unmarked():
        time.sleep(0.5)
"""
LIGHT = """
    import sys
    def test_light():
        assert not {"lava", "torch", "numba", "numpy"} & set(sys.modules)
"""
STRICT = "import pytest\n@pytest.mark.lava\ndef test_it(): pass\n"


def pytest_of_its_own(folder: Path, code: str, *options: str, ini: str = "") -> str:
    """What pytest says, run in an empty folder with our plugin and no other."""
    lines = code.splitlines()
    (folder / "test_it.py").write_text("\n".join(line.removeprefix("    ") for line in lines))
    (folder / "conftest.py").write_text("import lava_aug.testing.leftovers as l\nl.PATIENCE = 0.3\n")
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = --strict-markers\n{ini}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "lava_aug.testing.plugin", "-rA", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


with_lava = pytest.mark.skipif(not HAS_LAVA, reason="needs Lava, without which marked tests are skipped")


def test_loading_the_plugin_is_light(tmp_path: Path) -> None:
    assert "1 passed" in pytest_of_its_own(tmp_path, LIGHT)


@with_lava
def test_leftovers_are_errors_of_marked_tests_and_of_those_with_the_fixture(tmp_path: Path) -> None:
    said = pytest_of_its_own(tmp_path, LEAVES)
    assert "4 passed, 2 errors" in said
    assert re.search(r"ERROR test_it.py::test_leaves - Failed: left behind: process \d+ \(cat -b\)", said)
    assert re.search(r"ERROR test_it.py::test_fixture - AssertionError: left behind: process \d+ \(cat -n\)", said)


OF_CALLS = ("-p", "pytest_timeout", "-o", "timeout_func_only=true")
"""The limit is one of the call, whatever setting up takes."""


@with_lava
@pytest.mark.parametrize("options", [(), OF_CALLS], ids=["alone", "with pytest-timeout"])
def test_marked_tests_end(options: tuple[str, ...], tmp_path: Path) -> None:
    said = pytest_of_its_own(tmp_path, SLOW, *options)
    assert "1 failed, 2 passed" in said
    expected = "Timeout" if options else "the test took more than 0.3 seconds (marker lava)"
    assert f"FAILED test_it.py::test_slow - Failed: {expected}" in said


@with_lava
def test_the_ini_file_sets_the_limit(tmp_path: Path) -> None:
    said = pytest_of_its_own(tmp_path, SLOW, ini="lava_timeout = 0.05\n")
    assert "2 failed, 1 passed" in said
    assert "test_default - Failed: the test took more than 0.05 seconds (marker lava)" in said
    wrong = pytest_of_its_own(tmp_path, STRICT, "-p", "pytest_timeout", ini="lava_timeout = soon\n")
    assert "lava: timeout: expected a positive number of seconds, found 'soon'" in wrong


@pytest.mark.skipif(HAS_LAVA, reason="Lava is installed")
def test_marked_tests_are_skipped_without_lava(tmp_path: Path) -> None:
    said = pytest_of_its_own(tmp_path, STRICT + "def test_fixture(run_process): assert False\n")
    assert "2 skipped" in said
    assert "needs Lava" in said


def test_pytest_finds_the_plugin_by_itself() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\n"lava_aug.testing.plugin" = "lava_aug.testing.plugin"\n' in text
