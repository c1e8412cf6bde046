"""Files are written whole or not at all: by many writers at once, on full disks, under names that cannot be."""

import errno
import functools
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run, run_python
from comparisons import example
from matplotlib.figure import Figure
from nets import small_net

import lava_aug as la
from lava_aug.core.errors import FileError
from lava_aug.core.files import MAX_NAME_BYTES, PARTIAL, STALE_SECONDS, write_arrays, write_figure, write_text
from lava_aug.experiments.parts import Store
from lava_aug.formats import FORMATS
from lava_aug.nir.files import export
from lava_aug.nir.files import load as load_nir

FORMAT_WRITERS = {name: found.write for name, found in FORMATS.items() if found.write is not None}

WRITERS: dict[str, Callable[[Path], Any]] = {
    **{f"{name}.net": functools.partial(write, small_net()) for name, write in FORMAT_WRITERS.items()},
    "a.npz": lambda path: write_arrays(path, {"v": np.arange(5)}),
    "a.txt": lambda path: write_text(path, "a text of some length"),
    "a.png": lambda path: write_figure(Figure(), path),
    "a.part": lambda path: Store(path.parent).write("a", {"v": np.arange(5)}),
}
"""Everything that writes files, by the name that it may write to."""

pytestmark = pytest.mark.filterwarnings("ignore::lava_aug.core.errors.ExportWarning")


def names_in(folder: Path) -> list[str]:
    """Of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


# Many writers


def test_many_writers_and_readers_of_one_file(tmp_path: Path) -> None:
    """Every writer succeeds, and whoever reads meanwhile finds the file of one of them, whole."""
    path, nets = tmp_path / "a.net", [small_net().replace(num_steps=steps) for steps in range(1, 5)]
    la.save(nets[0], path)
    written, found = threading.Event(), []

    def read() -> None:
        while not written.is_set():
            found.append(la.load(path))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: la.save(nets[index % 4], path), range(80)))
    written.set()
    for reader in readers:
        reader.join()
    assert found
    assert all(net == nets[net.num_steps - 1] for net in found)
    assert la.load(path) in nets
    assert names_in(tmp_path) == ["a.net"]


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_there_keeps_its_mode_and_its_link(name: str, tmp_path: Path) -> None:
    path, kept = tmp_path / name, tmp_path / "kept" / name
    kept.parent.mkdir()
    WRITERS[name](path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.replace(kept)
    kept.chmod(0o640)
    path.symlink_to(Path("kept") / name)
    before = kept.stat().st_ino
    WRITERS[name](path)
    assert path.is_symlink()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert kept.stat().st_ino != before
    assert [found.name for found in kept.parent.iterdir()] == [name]
    assert names_in(tmp_path) == sorted([name, "kept"])


def test_a_link_that_leads_nowhere_gets_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new.txt")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "new.txt").read_text() == "text"
    assert (tmp_path / "link").is_symlink()


def test_what_dead_writers_left_is_cleared_and_what_others_write_is_not(tmp_path: Path) -> None:
    stale, fresh, other = (tmp_path / name for name in (PARTIAL.format("1"), PARTIAL.format("2"), "mine.partial"))
    for path in (stale, fresh, other):
        path.write_bytes(b"half")
    old = time.time() - STALE_SECONDS - 1
    os.utime(stale, (old, old))
    os.utime(other, (old, old))
    write_text(tmp_path / "a.txt", "text")
    assert names_in(tmp_path) == sorted([fresh.name, other.name, "a.txt"])


# Full disks


LIMITED = f"""
import resource, sys, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
warnings.simplefilter("ignore")
from pathlib import Path
import test_files
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
for name, write in test_files.WRITERS.items():
    try:
        write(Path(name))
    except test_files.FileError as error:
        print(error)
"""
"""Writes everything, where no file may have more than 10 bytes: every library fails in its own way."""


def test_a_full_disk_leaves_the_old_files(tmp_path: Path) -> None:
    for name in WRITERS:
        (tmp_path / name).write_bytes(b"old")
    expected = [f"cannot write {name!r}: there is no room for it (File too large)" for name in WRITERS]
    assert run_python(LIMITED, tmp_path).splitlines() == expected
    assert [(tmp_path / name).read_bytes() for name in WRITERS] == [b"old"] * len(WRITERS)
    assert names_in(tmp_path) == sorted(WRITERS)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.net"
    la.save(small_net(), path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match=r"cannot write .*: there is no room for it \(No space left on device\)"):
        la.save(small_net().replace(num_steps=9), path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["a.net"]


# Names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot write '': expected the name of a file, found none"),
        (".", r"cannot write '\.': it is a folder; give the name of a file in it"),
        ("..", "it is a folder"),
        ("new/", "it is a folder"),
        ("é" * 150, "expected names of at most 255 bytes, found one of 300"),
        (f"{'a' * 300}/b.net", "expected names of at most 255 bytes, found one of 300"),
        ("a\0b", "expected a name without NUL"),
        ("no/such/a.net", "there is no folder '.*no/such'"),
        ("/dev/null", "cannot write '/dev/null': it is no plain file"),
        ("file/a.net", "there is no folder '.*file'"),
    ],
)
def test_names_that_no_file_can_have(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match=message):
        la.save(small_net(), name)
    assert names_in(tmp_path) == ["file"]


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("a" * MAX_NAME_BYTES)
    la.save(small_net(), path)
    assert la.load(path) == small_net()


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "", "."])
def test_names_of_no_file(name: str) -> None:
    with pytest.raises(FileError, match="no such file"):
        la.load(name)


@pytest.mark.parametrize("name", ["a" * 300, "", "."])
def test_commands_that_read_names_of_no_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("info", name), ("simulate", name, "--images", name), ("report", name)):
        assert run(*command) == 2
    assert run("compare", "mnist-lenet", "--data", f"CIFAR10:{name}") == 2
    assert run("compare", "lava_aug.examples.digits:DigitsNet", "--data", name) == 2
    printed = capsys.readouterr().err
    assert printed.count("Error: ") == 5
    assert "Traceback" not in printed


def test_arrays_come_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"v/0": np.arange(3), "steps": np.array(2)})
    with np.load(tmp_path / "a.npz") as found:
        assert {name: found[name].tolist() for name in found.files} == {"v/0": [0, 1, 2], "steps": 2}


def test_graphs_that_are_written_are_read(tmp_path: Path) -> None:
    export(small_net(), tmp_path / "a.nir")
    assert load_nir(tmp_path / "a.nir") == small_net()


# Before the work


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "lava_aug.examples.digits:DigitsNet", "-c", "none.npy", "-o"),
        ("tune", "lava_aug.examples.digits:DigitsNet", "-c", "none.npy", "-o"),
        ("tune", "lava_aug.examples.digits:DigitsNet", "-c", "none.npy", "-o", "a.net", "--figure"),
        ("diagnose", "none.net", "lava_aug.examples.digits:DigitsNet", "--images", "none.npy", "--figure"),
        ("simulate", "none.net", "--images", "none.npy", "-o"),
        ("run", "none.net", "--images", "none.npy", "-o"),
        *(("export", "small.net", "--to", name, "-o") for name in FORMAT_WRITERS),
        ("report", "small.json", "-o"),
    ],
)
@pytest.mark.parametrize("output", [".", "", "a" * 300])
def test_commands_look_at_names_before_the_work(
    arguments: tuple[str, ...], output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    la.save(small_net(), "small.net")
    write_text("small.json", json.dumps(example("small", rows=1, layers=1, steps=2).to_dict()))
    assert run(*arguments, output) == 2
    printed = capsys.readouterr().err
    expected = (
        "it is a folder; give the name of a file in it" if len(output) < 2 else "at most 255 bytes, found one of 300"
    )
    assert printed.startswith("Error: cannot write")
    assert expected in printed
    assert names_in(tmp_path) == ["small.json", "small.net"]
