"""Every format of files: who recognises and reads what it writes, and what the command ``export`` knows of it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run
from nets import images_for, small_net

import lava_aug as la
from lava_aug.formats import FORMATS, options_of
from lava_aug.netx.hdf5 import opened

WRITERS: dict[str, Any] = {name: found.write for name, found in FORMATS.items() if found.write is not None}

pytestmark = pytest.mark.filterwarnings("ignore::lava_aug.core.errors.ExportWarning")


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_format_writes_is_recognised_and_read_by_it_alone(name: str, tmp_path: Path) -> None:
    WRITERS[name](small_net(), tmp_path / "a.net")
    with opened(tmp_path / "a.net") as root:
        assert [other for other, found in FORMATS.items() if found.recognises(root)] == [name]
        found = FORMATS[name].read(root)
    assert la.read_network(tmp_path / "a.net") == found
    x, own = images_for(small_net(), 5), la.simulate(small_net(), images_for(small_net(), 5)).predictions[-1]
    if isinstance(found, la.Network):
        assert found == small_net()
    else:
        assert (la.netx.simulate(found, x).predictions == own).all()


@pytest.mark.parametrize("name", WRITERS)
def test_the_command_writes_the_same_and_helps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    la.save(small_net(), "small.net")
    report = WRITERS[name](small_net(), tmp_path / "a.net")
    assert run("export", "small.net", "--to", name, "-o", "b.net") == 0
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()
    printed = capsys.readouterr().out
    assert all(text in printed for text in (*report.notes, *(table.caption for table in report.tables)))
    assert run("export", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{name}: {str(FORMATS[name].__doc__).splitlines()[0].rstrip('.')}" in shown
    for option, declared in options_of(WRITERS[name]).items():
        assert f"--{option.replace('_', '-')}" in shown
        assert f"{name}: {declared.help}" in shown


def test_an_option_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    la.save(small_net(), "small.net")
    assert run("export", "small.net", "--to", "lava-aug", "--threshold", "0.1", "-o", "b.net") == 2
    assert "--to lava-aug: takes no --threshold; it takes no options" in capsys.readouterr().err
    assert not Path("b.net").exists()


def test_a_file_of_no_format_says_what_was_expected(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.net", "w") as file:
        file.create_group("colours")
        file.attrs["format"] = np.bytes_(b"paint")
    with pytest.raises(la.FileError, match=r"one of the formats lava-aug, nir, netx-sdnn, or .*'paint', and .*colours"):
        la.read_network(tmp_path / "a.net")


def test_a_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two openings it may have changed."""
    for name, write in WRITERS.items():
        write(small_net(), tmp_path / name)
    names: list[str] = []
    monkeypatch.setattr("lava_aug.netx.hdf5.is_file", lambda path: not names.append(path.name))
    for name in WRITERS:
        la.read_network(tmp_path / name)
    assert names == list(WRITERS)
    la.netx.simulate(tmp_path / "netx-sdnn", images_for(small_net(), 1))
    assert names == [*WRITERS, "netx-sdnn"]
