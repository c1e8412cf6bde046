"""Run tutorials from top to bottom and store them with their outputs: ``python tutorials/execute.py``.

Arguments are the notebooks to run; without any, all in this folder. What depends on the machine or the hour is left
out of the file, so that a second run changes nothing: time stamps, versions, messages of the kernel.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent


def execute(notebook: NotebookNode, directory: Path, timeout: int | None = 300) -> NotebookNode:
    """The notebook, run in a fresh kernel whose working directory is the given one; it is changed in place."""
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # else what is printed comes in pieces, now so, now so
        resources={"metadata": {"path": str(directory)}},
    )
    return client.execute()


def clean(notebook: NotebookNode) -> NotebookNode:
    """The notebook with what a reader can use; it is changed in place."""
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    for cell in notebook.cells:
        cell.metadata = NotebookNode({name: value for name, value in cell.metadata.items() if name == "tags"})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "metadata" in output:
                    output.metadata = NotebookNode()
    return notebook


def main(paths: list[Path]) -> None:
    """Run and store notebooks."""
    for path in paths:
        with tempfile.TemporaryDirectory() as directory:
            notebook = execute(nbformat.read(path, as_version=4), Path(directory))
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if output.get("name") == "stderr":
                    print(f"{path.name}: not stored: {output.text.strip()}")
        nbformat.validate(clean(notebook))
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")))
