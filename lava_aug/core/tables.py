"""`Table`: one table as text, on the console, in Markdown and in HTML; and results in notebooks and data frames."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import BackendError, InputError
from lava_aug.core.layers import INPUT
from lava_aug.core.texts import as_markdown, printable

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table as RichTable

    from lava_aug.core.results import Output


WORDS = ' class="words" style="text-align: left"'
"""Attributes of cells that hold words; notebooks align others to the right."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts, and what is written above and below it.

    Attributes
    ----------
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of str
        Cells; the first one of a row is its title.
    caption, note : str
        Lines above and below it.
    left : collection of str
        Titles of the columns that hold words and are aligned to the left; the first column always is.
    name : str
        Of the table in an HTML page, unique there.

    Examples
    --------
    >>> print(Table(["layer", "size"], [["conv1", "7"], ["fc", "1,024"]], "sizes", "all of them").text())
    sizes
    layer   size
    ------------
    conv1      7
    fc     1,024
    all of them
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    note: str = ""
    left: Collection[str] = ()
    name: str = ""

    @property
    def cells(self) -> list[Sequence[str]]:
        """The head and the rows."""
        return [self.head, *self.rows]

    def _is_left(self, column: int) -> bool:
        return column == 0 or self.head[column] in self.left

    def _printable(self) -> list[list[str]]:
        return [[printable(cell, keep="") for cell in row] for row in self.cells]

    def text(self) -> str:
        """Aligned columns, the head with a rule below it."""
        cells = self._printable()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if self._is_left(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        rule = "-" * max(map(len, lines))
        parts = (printable(self.caption), lines[0], rule, *lines[1:], printable(self.note))
        return "\n".join(part for part in parts if part)

    def rich(self) -> "RichTable":
        """For rich's console, without caption and note. Words are wrapped where there is little room, numbers never."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        head, *rows = self._printable()
        for column, title in enumerate(head):
            is_left = self._is_left(column)
            words = [*title.split(), *(word for row in rows for word in _unbroken(row[column], is_left))]
            narrowest = max(map(len, words), default=0)
            made.add_column(Text(title), justify="left" if is_left else "right", min_width=narrowest)
        for row in rows:
            made.add_row(*map(Text, row))
        return made

    def markdown(self) -> str:
        """In GitHub's Markdown."""
        rule = ["---" if self._is_left(column) else "---:" for column in range(len(self.head))]
        rows = [list(map(as_markdown, self.head)), rule, *(list(map(as_markdown, row)) for row in self.rows)]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        caption = f"{as_markdown(self.caption)}:" if self.caption else ""
        return "\n\n".join(part for part in (caption, lines, as_markdown(self.note)) if part)

    def html(self, page: str = "") -> str:
        """As HTML, escaped.

        Parameters
        ----------
        page : str
            Prefix of names in a page; if given, the table is a region of its own that can be scrolled.
        """
        label = f"{page}-{self.name}-caption"
        table = "".join(self._html(f' id="{escape(label)}"' if page else ""))
        note = f'<p class="note">{_lines(self.note)}</p>\n' if self.note else ""
        if not page:
            return table + note
        region = f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{escape(label)}">'
        return f"{region}\n{table}</div>\n{note}"

    def _html(self, identity: str) -> Iterator[str]:
        styles = [WORDS if self._is_left(column) else "" for column in range(len(self.head))]
        yield "<table>\n"
        yield f"<caption{identity}>{_lines(self.caption)}</caption>\n" if self.caption else ""
        titles = (f'<th scope="col"{style}>{_escaped(c)}</th>' for style, c in zip(styles, self.head, strict=True))
        yield f"<thead><tr>{''.join(titles)}</tr></thead>\n<tbody>\n"
        for title, *others in self.rows:
            cells = (f"<td{style}>{_escaped(c)}</td>" for style, c in zip(styles[1:], others, strict=True))
            yield f'<tr><th scope="row"{styles[0]}>{_escaped(title)}</th>{"".join(cells)}</tr>\n'
        yield "</tbody>\n</table>\n"


class Tabular:
    """What is told in tables: `print` shows them as text, notebooks as HTML; its `repr` is one line."""

    def tables(self) -> Sequence[Table]:
        """The tables that it is shown as."""
        raise NotImplementedError

    def _facts(self) -> str:
        """What it is, on one line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._facts()}>"

    def __str__(self) -> str:
        return "\n\n".join(table.text() for table in self.tables())

    def _repr_html_(self) -> str:
        return "\n".join(table.html() for table in self.tables())


def _unbroken(cell: str, is_left: bool) -> list[str]:
    return cell.split() if is_left else [cell]


def _escaped(text: str) -> str:
    return escape(printable(text, keep=""))


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in printable(text).splitlines())


def data_frame(columns: dict[str, Any], index: str | None = None) -> "DataFrame":
    """Columns of equal length as a data frame.

    Parameters
    ----------
    columns : dict
        Lists or arrays by name.
    index : str, optional
        The column that names the rows.

    Raises
    ------
    BackendError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise BackendError("to_dataframe: pandas is not installed; pip install 'lava-aug[pandas]'") from error
    frame = pd.DataFrame(columns)
    return frame if index is None else frame.set_index(index)


def _by_layer(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    del labels
    shapes = out.network.shapes
    columns: dict[str, Any] = {"layer": list(shapes), "neurons": [int(np.prod(shape)) for shape in shapes.values()]}
    for field in fields:
        totals = out.totals(field)
        columns[field] = [float(totals[name].sum()) / out.num_images if name in totals else np.nan for name in shapes]
    return data_frame(columns, "layer")


def _by_step(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    steps = np.arange(1, out.num_steps + 1)
    columns: dict[str, Any] = {"step": steps, **{field: out.per_image(field) for field in fields}}
    if labels is not None:
        accuracy = np.full(out.num_steps, np.nan)
        accuracy[out.readout_steps - 1] = out.accuracy(labels)
        columns["accuracy"] = accuracy
    return data_frame(columns, "step")


def _by_image(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    if out.is_summed:
        raise InputError("to_dataframe: counts are summed over the images; simulate with counts='image'")
    columns: dict[str, Any] = {"image": np.arange(out.num_images), "steps": out.steps}
    if labels is not None and labels.size == out.num_images:
        columns["label"] = labels.reshape(out.num_images)
    if not out.network.heads and out.predictions[-1].size == out.num_images:
        columns["prediction"] = out.predictions[-1].reshape(out.num_images)
    for field in fields:
        counts = [count.sum(axis=0) for name, count in getattr(out, field).items() if name != INPUT]
        columns[field] = np.sum(counts, axis=0, dtype=np.int64) if counts else np.zeros(out.num_images, np.int64)
    return data_frame(columns, "image")


FRAMES: "dict[str, Callable[[Output, tuple[str, ...], NDArray[Any] | None], DataFrame]]" = {
    "layer": _by_layer,
    "step": _by_step,
    "image": _by_image,
}
"""What makes a data frame of an output, by what its rows are."""
