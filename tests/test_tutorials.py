"""The tutorials run from top to bottom, and what is stored in them is what they give."""

import copy
import re
import runpy
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

TUTORIALS = Path(__file__).parent.parent / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
TOOLS = runpy.run_path(str(TUTORIALS / "execute.py"))
REPAIR = "run python tutorials/execute.py"

HAS_LAVA = any(distributions(name="lava-nc"))

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def kinds(cell: NotebookNode) -> list[list[str]]:
    """Which outputs a cell has, and in which formats."""
    return [sorted(output.get("data", [output.output_type])) for output in cell.outputs]


def words(text: str) -> list[str]:
    """A text without its numbers, which follow from trained weights and so depend on the machine's float sums."""
    return re.findall(r"[a-z_]+", text, re.IGNORECASE)


def test_there_are_tutorials() -> None:
    assert NOTEBOOKS


@notebooks
def test_is_stored_as_it_should_be(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 500_000
    assert notebook == TOOLS["clean"](copy.deepcopy(notebook)), REPAIR
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), REPAIR
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    for cell in notebook.cells:
        texts = [cell.source, *(str(output) for output in cell.get("outputs", []) if "data" not in output)]
        assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|work|Users)/", "".join(texts)), "an absolute path"


@notebooks
@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.skipif(not HAS_LAVA, reason="needs Lava")
def test_gives_what_is_stored(path: Path, tmp_path: Path) -> None:
    stored = read(path)
    executed = TOOLS["clean"](TOOLS["execute"](copy.deepcopy(stored), tmp_path, timeout=None))
    for before, after in zip(code_cells(stored), code_cells(executed), strict=True):
        assert kinds(before) == kinds(after), f"{before.source}: {REPAIR}"
        assert words(text_of(before)) == words(text_of(after)), REPAIR
        if "deterministic" in before.metadata.get("tags", []):
            assert text_of(before) == text_of(after), REPAIR
    assert not list(tmp_path.iterdir()), "a tutorial left files behind"


@notebooks
def test_has_deterministic_cells(path: Path) -> None:
    tagged = [cell for cell in code_cells(read(path)) if "deterministic" in cell.metadata.get("tags", [])]
    assert tagged
    assert all(text_of(cell) for cell in tagged)
