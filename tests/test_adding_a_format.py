"""Adding an export format and a command as CONTRIBUTING.md says, by the letter, in a copy: both are there at once."""

import re
from pathlib import Path

import pytest
from copies import blocks_of, copy_project, insert, output_of, section_of
from nets import small_net

import lava_aug as la

pytestmark = pytest.mark.slow

COMMANDS = """
import sys
from command_line import run
for arguments in sys.argv[1].split(";"):
    assert run(*arguments.split()) == 0, arguments
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the format and the command."""
    folder = copy_project(tmp_path_factory.mktemp("copy"))
    ([form], [command]) = (blocks_of(section_of(f"Adding {what}")) for what in ("an export format", "a command"))
    insert(folder / "lava_aug" / "formats.py", "def read_network(", f"{form}\n\n\n")
    (folder / "lava_aug" / "commands" / "names.py").write_text(command + "\n", encoding="utf-8")
    la.save(small_net(), folder / "tests" / "small.net")
    return folder


def printed(copy: Path, *lines: str) -> str:
    """What commands print, one after the other."""
    return output_of(copy, "-c", COMMANDS, ";".join(lines), folder="tests")


def test_the_format_is_written_and_read_by_the_commands(copy: Path) -> None:
    export = "export small.net --to boxed -o box.net --box-label fragile"
    found = printed(copy, export, "info box.net", "export box.net --to lava-aug -o out.net", "export --help")
    assert "- the box is labelled fragile" in found
    assert small_net().summary() in found
    assert "boxed: A network of ours in a box" in " ".join(re.sub("[│ \n]+", " ", found).split())
    assert "--box-label" in found
    assert (copy / "tests" / "out.net").read_bytes() == (copy / "tests" / "small.net").read_bytes()


def test_the_tests_of_all_formats_pass_with_it(copy: Path) -> None:
    files = ("tests/test_formats.py", "tests/test_files.py", "tests/test_fuzz.py")
    found = output_of(
        copy, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files, "-k", "boxed or opened_once or damaged"
    )
    count = re.search(r"^(\d+) passed, \d+ deselected", found, re.MULTILINE)
    assert count is not None, found
    assert int(count[1]) >= 5, found


def test_the_command_runs_and_has_its_place(copy: Path) -> None:
    assert printed(copy, "names small.net") == "hidden\nout\n"
    shown = re.findall(r"^│ (\w+) ", printed(copy, "--help"), re.MULTILINE)
    assert shown[shown.index("info") :][:3] == ["info", "names", "check"]
