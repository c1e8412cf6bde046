"""What comes from files and users is shown, and does nothing: no markup, no sequences that terminals act on."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from nets import layer
from rich.console import Console

import lava_aug as la
from lava_aug.commands import console
from lava_aug.commands.console import print_json, print_table, tell, warn
from lava_aug.core.errors import BackendError, ConversionWarning, FileError, InputError
from lava_aug.core.layers import Dense
from lava_aug.core.network import INPUT, Head
from lava_aug.core.neurons import AugmentedNeuron
from lava_aug.core.tables import Table
from lava_aug.core.texts import printable

EVIL = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m [bold red]a[/b] :smile: \r"
SHOWN = r"\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m [bold red]a[/b] :smile: \r"


def is_harmless(text: str) -> bool:
    """Whether it has printable characters alone, and lines."""
    return all(c.isprintable() or c == "\n" for c in text)


@given(st.text())
def test_printable_texts_do_nothing_and_stay(text: str) -> None:
    found = printable(text)
    assert is_harmless(found)
    assert printable(found) == found
    assert printable(text, keep="").isprintable()
    assert found == text or not is_harmless(text)
    found.encode()  # no lone surrogates


def test_what_is_done_to_a_text() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("Größe\n\ud800") == "Größe\n\\ud800"
    assert printable("a\nb", keep="") == r"a\nb"


@pytest.mark.parametrize("cls", [InputError, FileError, BackendError, ConversionWarning])
def test_errors_and_warnings_can_be_printed(cls: Any) -> None:
    assert str(cls(f"layer {EVIL}\nbelow")) == f"layer {SHOWN}\nbelow"


@pytest.fixture
def evil_net() -> la.Network:
    """A network whose names, notes and method try to do something."""
    readout = layer("[/b]", f"{EVIL}\nname", Dense(weight=np.eye(2, dtype=np.int8)))
    hidden = layer(f"{EVIL}\nname", INPUT, Dense(weight=np.eye(2, dtype=np.int8)), AugmentedNeuron(vth=1))
    return la.Network(
        input_shape=(2,),
        layers=(hidden.replace(note=EVIL), readout),
        method=f"{EVIL}\nmethod",
        heads=(Head(f"{EVIL}\nhead", (1,)), Head("b", (1,))),
    )


def test_summaries(evil_net: la.Network) -> None:
    text = evil_net.summary()
    assert is_harmless(text)
    assert text.splitlines()[0].startswith(rf"{SHOWN}\nmethod, resolution 1")
    assert text.count(rf"{SHOWN}\nname") == 2
    assert f"({SHOWN})" in text
    assert rf"heads: {SHOWN}\nhead 1, b 1" in text
    assert len(text.splitlines()) == 9


@pytest.mark.parametrize("options", [(), ("--plan",), ("--json",)])
def test_info(
    options: tuple[str, ...],
    evil_net: la.Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    la.save(evil_net, "a.net")
    assert run("info", "a.net", *options) == 0
    printed = capsys.readouterr().out
    assert is_harmless(printed)
    if options == ("--json",):
        assert json.loads(printed) == evil_net.to_dict()
    else:
        assert rf"{SHOWN}\nname" in printed


def test_errors_of_commands(
    evil_net: la.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")
    la.save(evil_net, "a.net")
    with h5py.File("a.net", "r+") as file:
        del file["layer/1/type"]
        file["layer/1/type"] = np.bytes_(EVIL.encode())
    assert run("info", "a.net") == 2
    found = capsys.readouterr().err
    assert is_harmless(found)
    assert SHOWN in found
    assert run("info", "[bold]x[/b]") == 2
    assert "'[bold]x[/b]': no such file" in capsys.readouterr().err
    for name in ("[bold].net", "a[bold red]b.npz"):
        Path(name).write_bytes(b"")
        assert run("info", name) == 2
        assert name in capsys.readouterr().err


def test_paths_are_printed_as_they_are(
    evil_net: la.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    la.save(evil_net.replace(heads=()), "a.net")
    np.save("x.npy", np.ones((2, 2), np.uint8))
    assert run("simulate", "a.net", "--images", "x.npy", "-o", "[bold]o.npz") == 0
    assert capsys.readouterr().out.endswith("Wrote [bold]o.npz.\n")
    assert Path("[bold]o.npz").exists()


def test_lines_and_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Console(width=300)
    monkeypatch.setattr(console, "out", wide)
    tell(EVIL, wide)
    warn(EVIL, wide)
    evil = Table([EVIL, "1"], [[EVIL, "[/b]"]], EVIL, EVIL)
    print_table(evil)
    print_json({EVIL: EVIL})
    printed = capsys.readouterr().out
    assert is_harmless(printed)
    assert printed.count(SHOWN) == 6
    assert "[/b]" in printed
    assert json.loads(printed[printed.index("{") :]) == {EVIL: EVIL}
    assert is_harmless(evil.text())
    assert is_harmless(evil.markdown())
    assert is_harmless(evil.html())
    assert len(Table(["c\nd", "e"], []).text().splitlines()) == 2
