"""The results of comparing conversions: accuracy, spikes, operations and energy over time steps, and their JSON."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.errors import FileError, InputError, LavaAugError
from lava_aug.core.files import check_output, write_text
from lava_aug.core.fixed_point import is_list
from lava_aug.core.tables import Table, Tabular, data_frame
from lava_aug.core.texts import brief, counted, plain
from lava_aug.experiments import pages
from lava_aug.experiments.rows import Fields, Row, pareto_front
from lava_aug.plot.drawing import powers_of_two

STEPS = (1, 2, 4, 8, 16, 32)

TOLERANCE = 0.005
"""How far below the ANN's accuracy a network may be to count as having reached it."""

if TYPE_CHECKING:
    from pandas import DataFrame

UNTIL = (
    "* to stay within 0.5 points of the ANN; events excluding the input; energy estimated for the arithmetic "
    "alone, see lava_aug.experiments.energy"
)

FORMAT, FORMAT_VERSION = "lava-aug comparison", 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tabular):
    """The ANN, and one row for each conversion.

    Attributes
    ----------
    title, data : str
        What was compared, and the name of the data.
    ann_accuracy : float
        0 .. 1.
    ann_macs : int
        Multiply-accumulates of one forward pass of the ANN.
    ann_energy : float
        Estimate per image with 8-bit integers, in nJ.
    num_images : int
        Number of images, the same for all rows.
    rows : tuple of Row
        The conversions.
    configuration : mapping
        What is needed to reproduce it: versions, command, options.
    raster : mapping of str to numpy.ndarray
        Coefficients of the first neurons of every layer for one image, ``(T, k)`` by name; may be empty.
    """

    title: str
    data: str
    ann_accuracy: float
    ann_macs: int
    ann_energy: float
    num_images: int
    rows: tuple[Row, ...]
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    raster: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict[str, NDArray[Any]])

    def accuracies(self, steps: Sequence[int] | None = None) -> Table:
        """Accuracies in percent, by number of time steps.

        Parameters
        ----------
        steps : sequence of int, optional
            The numbers of steps to show; default powers of two, and the largest.
        """
        shown = powers_of_two(max(row.num_steps for row in self.rows)) if steps is None else steps
        ann = ["ANN", *[_percent(self.ann_accuracy)] * len(shown)]
        rows = [
            [row.title, *(_percent(row.accuracy[step - 1]) if step <= row.num_steps else "-" for step in shown)]
            for row in self.rows
        ]
        return Table(
            ["case", *map(str, shown)], [ann, *rows], "Accuracy (%) by number of time steps", name="accuracies"
        )

    def costs(self) -> Table:
        """The cost of an image: events, synaptic operations and energy.

        Steps until the accuracy stays within 0.5 points of the ANN's, and events, synaptic operations and
        energy up to then. An operation of the ANN is a multiply-accumulate.
        """
        head = ["case", "steps*", "events*", "operations*", "energy* (nJ)"]
        ann = ["ANN", "-", "-", f"{self.ann_macs:,}", f"{self.ann_energy:,.1f}"]
        rows = [ann, *(self._costs(row) for row in self.rows)]
        return Table(head, rows, "What it takes to stay close to the ANN", UNTIL, name="costs")

    def _costs(self, row: Row) -> list[str]:
        first = row.first_step(self.ann_accuracy - TOLERANCE)
        if first is None:
            return [row.title, f"> {row.num_steps}", "-", "-", "-"]
        events, operations, energy = (float(curve[first - 1]) for curve in (row.events, row.synops, row.energy))
        return [row.title, str(first), f"{events:,.0f}", f"{operations:,.0f}", f"{energy:,.1f}"]

    def _facts(self) -> str:
        title = f"{brief(self.title)}, " if self.title else ""
        return (
            f"{title}{counted(len(self.rows), 'case')}, {counted(self.num_images, 'image')}, "
            f"ANN {_percent(self.ann_accuracy)} %"
        )

    def tables(self) -> tuple[Table, Table]:
        """`accuracies` and `costs`."""
        return self.accuracies(), self.costs()

    def front(self, against: Literal["events", "energy"] = "events") -> list[tuple[float, float, int]]:
        """The Pareto front of all rows after all steps: (cost, accuracy, steps), the cheapest first.

        Parameters
        ----------
        against : {"events", "energy"}
            The cost: mean events per image, or the estimate of the energy in nJ.
        """
        points = [
            (float(cost), float(accuracy), step)
            for row in self.rows
            for step, (cost, accuracy) in enumerate(zip(getattr(row, against), row.accuracy, strict=True), start=1)
        ]
        return pareto_front(points, cost=lambda point: (point[0], point[2]), accuracy=lambda point: point[1])

    def write_report(self, directory: str | os.PathLike[str], *others: "Comparison", name: str | None = None) -> Path:
        """Write a report: ``<name>.html``, ``<name>.json`` and ``<name>.csv``, each atomically.

        Parameters
        ----------
        directory : path
            Created if it does not exist.
        *others : Comparison
            What else to include, below this comparison.
        name : str, optional
            Base name of the files; default the comparisons' titles.

        Returns
        -------
        Path
            The HTML file.

        Raises
        ------
        InputError
            If a comparison has no rows, or the name is not a valid file name.
        FileError
            If a file cannot be written.
        """
        shown = pages.checked((self, *others))
        stem = pages.slug("-".join(comparison.title for comparison in shown)) if name is None else name
        if not stem or Path(stem).name != stem:
            raise InputError(f"name: expected that of a file, without folder, found {stem!r}")
        page = Path(directory) / f"{stem}.html"
        values = [comparison.to_dict() for comparison in shown]
        # The numbers first: whatever happens to the figures, they are kept.
        text = json.dumps(values if others else values[0], ensure_ascii=False) + "\n"
        write_text(page.with_name(f"{stem}.json"), text)
        write_text(page.with_name(f"{stem}.csv"), pages.csv_text(shown))
        write_text(page, pages.html(shown))
        return page

    def write_page(self, path: str | os.PathLike[str], *others: "Comparison") -> list[Path]:
        """Write one page: HTML, with the curves as CSV next to it; or Markdown, with a figure for each comparison.

        Parameters
        ----------
        path : path
            The page, ending in ``.html``, or in ``.md`` for Markdown, with its figures in the folder ``images`` next to
            it.
        *others : Comparison
            What else to include, below this comparison.

        Returns
        -------
        list of Path
            All files written, the page first.

        Raises
        ------
        InputError
            If a comparison has no rows, or the path has a different suffix.
        FileError
            If a file cannot be written.
        """
        shown, page = pages.checked((self, *others)), Path(path)
        check_output(path, make_folder=True)
        if page.suffix.lower() not in pages.WRITERS:
            raise InputError(f"report: expected a name that ends in {' or '.join(pages.WRITERS)}, found {page.name!r}")
        return pages.WRITERS[page.suffix.lower()](shown, page)

    def to_html(self, *others: "Comparison") -> str:
        """A page with tables, figures and configuration; it is self-contained and executes nothing.

        Parameters
        ----------
        *others : Comparison
            What else to include, below this comparison.

        Raises
        ------
        InputError
            If a comparison has no rows.
        """
        return pages.html(pages.checked((self, *others)))

    def to_csv(self, *others: "Comparison") -> str:
        """One line for every row after every step.

        The columns: title and data of the comparison, the row's title, step, accuracy (0 .. 1), and means per image up
        to the step: events and sum of ``|s|`` (excluding the input), synaptic operations, estimated energy in nJ.
        Floats are written so that reading them gives the same floats; texts that begin like a formula have an
        apostrophe before them.

        Parameters
        ----------
        *others : Comparison
            What else to list, below this comparison.

        Raises
        ------
        InputError
            If a comparison has no rows.
        """
        return pages.csv_text(pages.checked((self, *others)))

    def to_dataframe(self) -> "DataFrame":
        """The curves as a data frame of pandas, with the columns of `to_csv`: one row for every case after every step.

        Raises
        ------
        BackendError
            If pandas is not installed.
        """
        rows = list(pages.records([self]))
        return data_frame({name: [row[index] for row in rows] for index, name in enumerate(pages.COLUMNS)})

    @classmethod
    def read(cls, *paths: str | os.PathLike[str]) -> list[Self]:
        """Read the comparisons in JSON files: those of ``lava-aug compare``, or of `write_report`.

        Parameters
        ----------
        *paths : path
            In the order of the result. A file can hold several comparisons.

        Raises
        ------
        FileError
            If a file cannot be read, or does not contain comparisons.
        """
        return [comparison for path in paths for comparison in cls._read_file(Path(path))]

    @classmethod
    def _read_file(cls, path: Path) -> list[Self]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise FileError(f"{str(path)!r}: expected JSON: {error}") from error
        try:
            parsed = [cls.from_dict(part) for part in (content if is_list(content) else [content])]
        except LavaAugError as error:
            raise FileError(f"{str(path)!r}: {error}") from error
        if not parsed:
            raise FileError(f"{str(path)!r}: expected one or more comparisons, found none")
        return parsed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; nothing is rounded."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **plain(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises
        ------
        InputError
            If it is not a comparison.
        """
        try:
            return cls._read(Fields(values, "comparison"))
        except InputError as error:
            raise InputError(f"comparison: expected what Comparison.to_dict gives; {error}") from None

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        if (fields.text("format"), fields.count("format_version")) != (FORMAT, FORMAT_VERSION):
            raise InputError(f"expected version {FORMAT_VERSION}")
        raster = fields.fields("raster")
        rows = (Fields(row, f"comparison/rows/{index}") for index, row in enumerate(fields.items("rows")))
        return cls(
            title=fields.text("title"),
            data=fields.text("data"),
            ann_accuracy=fields.number("ann_accuracy", high=1),
            ann_macs=fields.count("ann_macs"),
            ann_energy=fields.number("ann_energy"),
            num_images=fields.count("num_images", low=1),
            rows=tuple(map(Row.read, rows)),
            configuration=fields.fields("configuration").plain(),
            raster={name: raster.matrix(name) for name in raster.names()},
        )


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}"
