"""Every example in the README, in docs/ and in docstrings is run, and what it prints is compared."""

import contextlib
import copy
import doctest
import importlib
import io
import itertools
import re
import shlex
import shutil
import sys
import warnings
import webbrowser
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from command_line import run
from doc_examples import MARK, NEEDS_LAVA, PAGES, ROOT, blocks, commands, python_blocks, same_output
from torch import nn

import lava_aug as la
from lava_aug.commands import COMMANDS, Command, cli
from lava_aug.core.errors import BackendError
from lava_aug.examples import digits

HAS_LAVA_NC = any(distributions(name="lava-nc"))
HAS_LAVA = HAS_LAVA_NC and any(distributions(name="lava-dl"))
"""The examples use both."""

LAVA = (pytest.mark.lava,)
TORCHVISION = pytest.mark.skipif(not any(distributions(name="torchvision")), reason="needs torchvision")

COMPLETE = ("README.md", "getting-started.md", "how-to")
"""Pages whose examples need nothing; those of the others go on from Getting started."""

NOT_EXECUTED = 12
"""How many blocks may say that they are not run."""

SIZE = (3, 32, 32)
"""Of the images of the made-up CIFAR-10."""


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What the examples find


class Net(nn.Sequential):
    """The module `my.module` of the examples."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(int(np.prod(SIZE)), 8), nn.ReLU(), nn.Linear(8, 10))


def write_mnist(folder: Path) -> None:
    """MNIST as torchvision finds it on disk: noise, twenty images to train on and four to test with."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name, count in {"train": 20, "t10k": 4}.items():
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (count, 28, 28))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + noise.bytes(count * 28 * 28))
        head = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big")
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + bytes(index % 10 for index in range(count)))


def write_cifar(folder: Path) -> None:
    """CIFAR-10 as folders of pictures."""
    from matplotlib.image import imsave

    noise = np.random.default_rng(1)
    for part in ("train", "test"):
        for label in range(10):
            path = folder / part / f"class{label}" / "picture.png"
            path.parent.mkdir(parents=True)
            imsave(path, noise.random((*SIZE[1:], SIZE[0])))


def write_my_network(folder: Path) -> None:
    """`my.module:Net` with weights, images and calibration images."""
    (folder / "my").mkdir()
    (folder / "my" / "module.py").write_text("from test_examples import Net\n")
    torch.save(Net().state_dict(), folder / "my.pt")
    images = np.random.default_rng(2).integers(0, 256, (10, *SIZE), dtype=np.uint8)
    np.savez(folder / "test.npz", images=images[:4], labels=np.arange(4))
    np.save(folder / "calibration.npy", images)


@pytest.fixture(scope="module")
def model() -> digits.DigitsNet:
    """The digits' network, trained once for all pages."""
    return digits.train(digits.load_digits())


@pytest.fixture(scope="module")
def made(model: digits.DigitsNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the demo and of the command line's examples, small."""
    folder = tmp_path_factory.mktemp("examples")
    data = digits.load_digits()
    torch.save(model.state_dict(), folder / "digits.pt")
    np.savez(folder / "digits.npz", images=data.test_images[:20], labels=data.test_labels[:20])
    net = la.convert(model, data.train_images[:200])
    for name in ("digits.net", "my.net", "net.net"):
        la.save(net, folder / name)
    la.netx.export(net, folder / "out.net", images=data.train_images[:50])
    write_mnist(folder / "ROOT" / "MNIST" / "raw")
    write_cifar(folder / "ROOT" / "CIFAR10")
    write_my_network(folder)
    return folder


@pytest.fixture
def folder(made: Path, model: digits.DigitsNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with these files, in which a page's examples run; nothing is trained and no browser opens."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digits, "train", lambda data: copy.deepcopy(model))
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


# Python


def with_lava(page: Path, text: str) -> Any:
    """The page as a parameter, marked if its examples run on Lava."""
    return pytest.param(page, marks=LAVA if HAS_LAVA and NEEDS_LAVA.search(text) else (), id=ids(page))


def python_pages() -> Iterator[Any]:
    for page in PAGES:
        code = [block.text for block, _ in python_blocks(page) if not block.reason]
        if code:
            yield with_lava(page, "\n".join(code))


def names_of_getting_started(model: nn.Module) -> dict[str, Any]:
    """What the examples of the other pages may use."""
    data = digits.load_digits()
    net = la.convert(model, data.train_images[:200])
    found = {"la": la, "data": data, "model": copy.deepcopy(model), "net": net}
    return {**found, "images": data.test_images[:3], "labels": data.test_labels[:3]}


@pytest.mark.parametrize("page", list(python_pages()))
def test_python_examples_run_and_print_what_the_page_says(page: Path, folder: Path, model: nn.Module) -> None:
    complete = page.relative_to(ROOT / "docs" if "docs" in page.parts else ROOT).parts[0] in COMPLETE
    names: dict[str, Any] = {"__name__": "example", **({} if complete else names_of_getting_started(model))}
    if HAS_LAVA and "netx.run" in page.read_text(encoding="utf-8"):
        importlib.import_module("lava.lib.dl.netx.hdf5")  # lava-dl prints when it is imported for the first time
    for block, expected in python_blocks(page):
        if not HAS_LAVA and NEEDS_LAVA.search(block.text):
            break  # what follows may go on from it
        if block.reason:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            # Exports say what is lost, which is no fault of the example.
            warnings.simplefilter("ignore", la.ExportWarning)
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        found = printed.getvalue()
        assert expected is None or same_output(found, expected), f"{page.name}, line {block.line}: found\n{found}"


def test_every_python_block_of_the_readme_has_an_output() -> None:
    assert all(expected for _, expected in python_blocks(ROOT / "README.md"))


def test_python_is_called_so() -> None:
    """Blocks without a language, or of plain text, hold no Python that would not be run."""
    python = re.compile(r"^(import|from|def|class|assert|with|@\w+) ?.*|\bla\.\w+\(", re.MULTILINE)
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            plain = block.language not in {"python", "bash", "sh"} and not block.reason
            assert not (plain and python.search(block.text)), f"{ids(page)}, line {block.line}: make it ```python"


def test_few_blocks_are_not_run_and_say_why() -> None:
    reasons = [
        f"{ids(page)}, line {block.line}: {block.reason}"
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.reason
    ]
    marks = sum(len(MARK.findall(page.read_text(encoding="utf-8"))) for page in PAGES)
    assert marks == len(reasons), "a mark is above no block"
    elsewhere = [reason for reason in reasons if "tests/test_contributing.py" in reason]
    assert len(reasons) - len(elsewhere) <= NOT_EXECUTED, "\n".join(reasons)
    assert all(len(reason.partition(": ")[2].split()) > 2 for reason in reasons)


def test_the_comparison_of_outputs_sees_what_it_should() -> None:
    assert same_output("conv1  4069\n------\nafter step 1: 99.2%", "conv1 4,066\n-----\nafter step 1: 99.4%")
    assert not same_output("conv1 4069", "conv2 4069")
    assert not same_output("vth 40", "vth 50")
    assert not same_output("differences: []", "differences: [] 1")


# Commands


def page_commands(page: Path) -> list[list[str]]:
    """The commands in the blocks of a page that are to be run."""
    found = blocks(page.read_text(encoding="utf-8"))
    return [command for block in found if not block.reason for command in commands(block.text)]


def command_pages() -> Iterator[Any]:
    for page in PAGES:
        lines = page_commands(page)
        if lines:
            uses = {command[0] for command in lines} & {"run", "verify"}
            yield with_lava(page, "from lava" if uses else "")


def run_before(page: Path) -> list[list[str]]:
    """What pages before this one run; comparing and verifying takes long, and changes nothing for what comes after."""
    earlier = itertools.takewhile(lambda other: other != page, PAGES)
    return [command for other in earlier for command in page_commands(other) if command[0] in {"compare", "verify"}]


@pytest.mark.slow
@TORCHVISION
@pytest.mark.parametrize("page", list(command_pages()))
def test_commands_run(page: Path, folder: Path) -> None:
    done = run_before(page)
    for command in page_commands(page):
        if command in done or (not HAS_LAVA and command[0] == "run"):
            continue
        done += [command] if command[0] == "compare" else []
        assert run(*command) == 0, f"{page.name}: lava-aug {' '.join(command)}"


@pytest.mark.parametrize("lava", [pytest.param(HAS_LAVA_NC, marks=LAVA if HAS_LAVA_NC else ())])
def test_the_demo_runs(lava: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, as it writes more images than the other examples' files have."""
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    assert run("demo", "--output", "demo") == 0
    names = {path.name for path in (folder / "demo").iterdir()}
    assert names == {"digits.net", "digits.png", "digits.pt", "digits.npz"}
    assert la.load(folder / "demo" / "digits.net").method == "augmapping"
    assert ("equal the simulator's" in " ".join(printed.getvalue().split())) == lava


def parse(command: Sequence[str], *, partly: bool = False) -> None:
    """Fail if there is no such command, or it has no such option; arguments may be missing from a part of one."""
    group: Any = typer.main.get_command(cli.app)
    of_all = {name for parameter in group.params for name in parameter.opts}
    while command and command[0] in of_all:
        command = command[1:]
    if not command:
        return
    assert command[0] in group.commands, f"no such command: {command[0]}"
    missing = sys.modules[typer.BadParameter.__module__].MissingParameter
    with contextlib.suppress(*([missing] if partly else [])):
        group.commands[command[0]].make_context(command[0], list(command[1:]))


def texts() -> Iterator[tuple[str, str]]:
    """Pages, and sources for their docstrings."""
    folders = [ROOT / "lava_aug", ROOT / "processes", ROOT / "benchmarks"]
    for path in [*PAGES, *(path for folder in folders for path in sorted(folder.rglob("*.py")))]:
        yield ids(path), path.read_text(encoding="utf-8")


def test_all_commands_can_be_parsed() -> None:
    """Those that are not run, too, and those that are named in a sentence."""
    count = 0
    for name, text in texts():
        found = [(command, False) for block in blocks(text) for command in commands(block.text)]
        spans = re.findall(r"`((?:uv run )?lava-aug [a-z][^`\n]*)`", text)
        found += [(command, True) for span in spans for command in commands(re.sub(r"[\[\]]", "", span))]
        for command, partly in found:
            try:
                parse(command, partly=partly)
            except Exception as error:
                raise AssertionError(f"{name}: lava-aug {' '.join(command)}: {error}") from error
        count += len(found)
    assert count > 40


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.function.__name__)
def test_examples_in_the_help_can_be_parsed(command: Command) -> None:
    program, *arguments = shlex.split(command.example)
    assert [program, arguments[0]] == ["lava-aug", command.function.__name__]
    parse(arguments)


def test_unknown_commands_and_options_are_found() -> None:
    for command in ("conver net.net", "info --plann my.net", "export my.net --to"):
        with pytest.raises(Exception, match=r"no such command|No such option|requires an argument"):
            parse(command.split(), partly=True)
    with pytest.raises(Exception, match="Missing"):
        parse(["info"])


def test_scripts_that_pages_name_are_there_and_can_be_called() -> None:
    scripts = {name for _, text in texts() for name in re.findall(r"python ((?:benchmarks|tutorials)/\w+\.py)", text)}
    assert scripts
    for name in scripts:
        compile((ROOT / name).read_text(encoding="utf-8"), name, "exec")


# Docstrings


def module_paths() -> list[Path]:
    """All modules with examples, in the package and in processes/."""
    found = [*(ROOT / "lava_aug").rglob("*.py"), *(ROOT / "processes").rglob("*.py")]
    inside = [path for path in found if not path.is_relative_to(ROOT / "lava_aug" / "processes")]
    return sorted(path for path in inside if ">>>" in path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    """``lava_aug.x.y``; processes/ is ``lava_aug.processes``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in ("lava_aug", *parts[parts[0] == "lava_aug" :]) if part != "__init__")


def doctest_modules() -> Iterator[Any]:
    for path in module_paths():
        on_lava = re.search(r">>> .*\blava\.|>>> .*(processes|run_process)", path.read_text(encoding="utf-8"))
        yield pytest.param(module_name(path), marks=LAVA if HAS_LAVA and on_lava else (), id=ids(path))


@pytest.mark.parametrize("name", list(doctest_modules()))
def test_examples_in_docstrings(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except (BackendError, ImportError):
        if HAS_LAVA:
            raise
        pytest.skip("needs Lava")
    if not HAS_LAVA and name.startswith(("lava_aug.testing", "lava_aug.processes")) and name[-6:] != "traces":
        pytest.skip("needs Lava")
    assert not doctest.testmod(module).failed


def test_docstrings_have_no_examples_that_are_not_run() -> None:
    """Behind ``::`` stand formulas, not calls of ours; few lines are skipped."""
    sources = [(name, text) for name, text in texts() if name.endswith(".py") and "benchmarks" not in name]
    for name, text in sources:
        for shown in re.findall(r"::\n\n((?: *.*\n)+?)\n", text):
            assert not re.search(r"\bla\.\w+\(|run_process\(", shown), f"{name}: write it with >>>\n{shown}"
    assert sum(text.count("doctest: +SKIP") for _, text in sources) <= 3
