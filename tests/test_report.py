"""Reports: what is in the page, in the JSON and in the CSV, and how they are written."""

import csv
import dataclasses
import json
import re
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from comparisons import example
from markupsafe import Markup

import lava_aug as la
from lava_aug.core.files import write_text
from lava_aug.core.texts import as_markdown
from lava_aug.experiments import figures, pages
from lava_aug.experiments.pages import COLUMNS

SMALL: dict[str, Any] = {"rows": 2, "layers": 2, "steps": 4}


def bare(title: str) -> la.experiments.Comparison:
    """A comparison with few figures."""
    found = example(title, **SMALL)
    rows = tuple(dataclasses.replace(row, exits=(), layers={}) for row in found.rows)
    return dataclasses.replace(found, rows=rows, raster={}, configuration={})


EVIL = '</title><script>alert("1")</script> $a$b$ & _'


class Page(HTMLParser):
    """The tags of a page with their attributes, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self._open in ("td", "th"):
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def large() -> str:
    """Six rows of four layers."""
    return example(rows=6, layers=4).to_html()


# Tables


def test_headline() -> None:
    accuracies, costs = example(rows=2, layers=2, steps=6).tables()
    row = example(rows=2, layers=2, steps=6).rows[0]
    assert list(accuracies.head) == ["case", "1", "2", "4", "6"]
    assert [found[0] for found in accuracies.rows] == ["ANN", "AugMapping 1/8", "AugMapping 1/4"]
    assert list(accuracies.rows[0][1:]) == ["99.00"] * 4
    assert list(accuracies.rows[1][1:]) == [f"{100 * row.accuracy[step - 1]:.2f}" for step in (1, 2, 4, 6)]
    # 0.3 exp(-t / 0.5) <= 0.005 for t >= 2.05
    assert costs.rows[1][:2] == ["AugMapping 1/8", "3"]
    assert list(costs.rows[1][2:]) == [
        f"{row.events[2]:,.0f}",
        f"{row.synops[2]:,.0f}",
        f"{row.energy[2]:,.1f}",
    ]
    assert "10,790.1" in costs.rows[0]


def test_layers_sum_up_all_steps() -> None:
    comparison = example(**SMALL)
    first, second = pages.layers_tables(comparison)
    assert (first.caption, second.caption) == ("AugMapping 1/8, 4 time steps", "AugMapping 1/4, 4 time steps")
    layer = comparison.rows[0].layers["conv1"]
    sums = [layer.events.sum(), layer.spike_sum.sum(), layer.synops.sum()]
    assert list(first.rows[1]) == ["conv1", "3,456", *(f"{found:,.0f}" for found in sums), f"{sums[0] / 3456:.3g}"]


def test_configuration_is_flat_and_complete() -> None:
    facts = {row[0]: row[1] for row in pages.configuration_table(example(**SMALL)).rows}
    assert facts["seed"] == "7"
    assert facts["versions.torch"] == "2.3.1"
    assert facts["command"] == "lava-aug compare mnist-lenet --data ROOT"
    assert facts["raster.row"] == "AugMapping 1/8"
    assert facts["ANN's multiply-accumulates"] == "2,345,678 per image"
    assert list(pages.cases_table(example(**SMALL)).rows[1]) == [
        *("AugMapping 1/4", "method augmapping, resolution 0.25", "3", "13.5"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (0.1 + 0.2, "0.3"), ((1, 0.5, "a"), "1, 0.5, a"), (True, "True"), (3, "3")],
)
def test_values_as_texts(value: object, expected: str) -> None:
    assert pages.as_text(value) == expected


# The page


def test_everything_is_in_the_page(large: str) -> None:
    page, comparison = Page(large), example(rows=6, layers=4)
    assert len(page.named("table")) == len(page.named("caption")) == 2 + 6 + 2
    # four curves and early exits; one histogram and one raster for every layer that fires
    assert len(page.named("figure")) == len(page.named("figcaption")) == 5 + 3 + 3
    assert len(page.named("pre")) == 6
    for table in (*comparison.tables(), *pages.layers_tables(comparison)):
        for row in table.rows:
            assert set(row) <= set(page.cells)
    for table in (pages.cases_table(comparison), pages.configuration_table(comparison)):
        for row in table.rows:
            assert set(row) <= set(page.cells)


def test_the_page_is_accessible(large: str) -> None:
    page = Page(large)
    assert page.named("html") == [{"lang": "en"}]
    assert {head.get("scope") for head in page.named("th")} == {"col", "row"}
    drawings = [drawing for drawing in page.named("svg") if drawing.get("role") == "img"]
    assert len(drawings) == 11
    assert all(drawing["aria-label"] for drawing in drawings)
    assert all(drawing.get("role") == "img" or drawing["aria-hidden"] == "true" for drawing in page.named("svg"))
    assert [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)] == [1, 3, 3, 3, 3, 3]
    names = {found["id"] for _, found in page.tags if "id" in found}
    assert {found["aria-labelledby"] for _, found in page.tags if "aria-labelledby" in found} <= names


def test_the_page_loads_and_runs_nothing(large: str) -> None:
    page = Page(large)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "img", "form"}
    links = [value or "" for _, found in page.tags for name, value in found.items() if re.search("href|src", name)]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "url(" not in re.sub(r"url\(#", "", large)
    (policy,) = [found["content"] for found in page.named("meta") if found.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert len(large) < 800_000


def test_names_in_the_page_are_unique_and_there() -> None:
    text = example(**SMALL).to_html(example("other", **SMALL))
    page = Page(text)
    names = [found["id"] for _, found in page.tags if "id" in found]
    assert len(names) == len(set(names))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    assert used
    assert {one or other for one, other in used} <= set(names)
    assert [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[12]", tag)] == [1, 2, 2]


def test_texts_are_texts() -> None:
    comparison = example(**SMALL)
    row = dataclasses.replace(comparison.rows[0], title=EVIL, summary=EVIL)
    layers = {EVIL: row.layers["conv1"]}
    row = dataclasses.replace(row, layers=layers, options={EVIL: EVIL})
    named = {"title": EVIL, "data": EVIL, "rows": (row,), "configuration": {EVIL: EVIL}}
    comparison = dataclasses.replace(comparison, **named, raster={EVIL: comparison.raster["conv1"]})
    text = comparison.to_html()
    assert "<script" not in text
    assert "&lt;/title&gt;&lt;script&gt;" in text
    page = Page(text)
    assert len(page.named("title")) == 1
    assert page.cells.count(EVIL) == 7  # two tables of results, layers, cases, configuration: its data, name and value


def test_figures_take_on_the_pages_colours_and_have_names_of_their_own() -> None:
    def draw(ax: object) -> None:
        ax.plot([0, 1], [0, 1], color="black", marker="o", label="x")  # pyright: ignore[reportAttributeAccessIssue]
        ax.legend()  # pyright: ignore[reportAttributeAccessIssue]
        ax.set_title("gone")  # pyright: ignore[reportAttributeAccessIssue]

    svg = figures.drawn(draw, (2, 1), 'a "line"', "p7")
    assert isinstance(svg, Markup)
    assert svg.startswith('<svg viewBox="0 0 144 72" role="img" aria-label="a &#34;line&#34;" xmlns=')
    assert "var(--ink)" in svg
    assert "#000000" not in svg
    assert not re.search(r' id="(?!p7-)', svg)
    assert "gone" not in svg
    assert figures.drawn(draw, (2, 1), 'a "line"', "p7") == svg


def test_without_exits_and_raster_there_are_no_empty_figures() -> None:
    page = Page(bare("few").to_html())
    assert len(page.named("figure")) == 4


# Files


def test_csv_has_every_row_and_step_exactly() -> None:
    comparisons = [example(**SMALL), example("other, with comma", **SMALL)]
    head, *lines = csv.reader(comparisons[0].to_csv(comparisons[1]).splitlines())
    assert tuple(head) == COLUMNS
    assert len(lines) == 2 * 2 * 4
    row = comparisons[1].rows[1]
    (line,) = [line for line in lines if line[0] == "other, with comma" and line[2:4] == ["AugMapping 1/4", "3"]]
    curves = (row.accuracy, row.events, row.spike_sum, row.synops, row.energy)
    assert [float(cell) for cell in line[4:]] == [float(curve[2]) for curve in curves]
    assert line[1] == "MNIST"


def test_write_report_writes_three_files_that_are_read_again(tmp_path: Path) -> None:
    comparison = example("mnist lenet/ö", **SMALL)
    page = comparison.write_report(tmp_path / "new")
    assert page == tmp_path / "new" / "mnist-lenet-ö.html"
    assert sorted(path.suffix for path in page.parent.iterdir()) == [".csv", ".html", ".json"]
    assert page.read_text(encoding="utf-8") == comparison.to_html()
    assert page.with_suffix(".csv").read_text() == comparison.to_csv()
    (found,) = la.experiments.Comparison.read(page.with_suffix(".json"))
    assert found.to_dict() == comparison.to_dict()
    np.testing.assert_array_equal(found.rows[0].accuracy, comparison.rows[0].accuracy)


def test_a_page_of_markdown(tmp_path: Path) -> None:
    comparison = example("mnist lenet/ö", **SMALL)
    page, *figures = comparison.write_page(tmp_path / "new" / "results.md", example("mnist lenet/ö", **SMALL))
    assert [path.name for path in figures] == ["results-1-mnist-lenet-ö.png", "results-2-mnist-lenet-ö.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines.count("## mnist lenet/ö") == 2
    assert "    lava-aug compare mnist-lenet --data ROOT" in lines
    for row in (*comparison.accuracies().cells, *comparison.costs().cells):
        texts = [as_markdown(cell) for cell in row]
        assert any(line.startswith("|") and all(f" {cell} " in line for cell in texts) for line in lines), row
    for figure in figures:
        assert any(f"](images/{figure.name})" in line for line in lines)


def test_several_comparisons_in_one_report(tmp_path: Path) -> None:
    comparisons = [bare("a"), bare("b")]
    page = comparisons[0].write_report(tmp_path, comparisons[1], name="both.v1")
    assert page.name == "both.v1.html"
    found = la.experiments.Comparison.read(tmp_path / "both.v1.json", tmp_path / "both.v1.json")
    assert [c.title for c in found] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("name", ["", "a/b", "a/"])
def test_names_of_reports_are_names_of_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(la.InputError, match="expected that of a file, without folder"):
        example(**SMALL).write_report(tmp_path, name=name)


def test_there_is_something_to_report(tmp_path: Path) -> None:
    empty = dataclasses.replace(example("e", **SMALL), rows=())
    pages = [
        lambda shown, *others, name=name: shown.write_page(tmp_path / name, *others) for name in ("a.html", "a.md")
    ]
    kinds = (la.experiments.Comparison.to_html, la.experiments.Comparison.to_csv)
    for write in (*kinds, lambda shown, *others: shown.write_report(tmp_path, *others), *pages):
        for shown in ([empty], [example("full", **SMALL), empty]):
            with pytest.raises(la.InputError, match="comparison 'e': expected one or more rows, found none"):
                write(*shown)
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    write_text(target, "old")
    with pytest.raises(UnicodeEncodeError):  # halfway
        write_text(target, "new \ud800")
    assert target.read_text() == "old"
    with pytest.raises(la.FileError, match=r"cannot write .*below.txt"):
        write_text(target / "below.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two comparisons, in which the command runs."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(bare(name).to_dict()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "a.json", "b.json", "-o", "new/out.html") == 0
    assert "Wrote new/out.html, new/out.csv." in capsys.readouterr().out
    assert Path("new/out.html").read_text(encoding="utf-8") == bare("a").to_html(bare("b"))
    assert Path("new/out.csv").read_text() == bare("a").to_csv(bare("b"))


def test_command_shows_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) < 2)
    monkeypatch.setattr(
        "lava_aug.experiments.pages.html", lambda found: "".join(comparison.title for comparison in found)
    )
    assert run("report", "b.json", "a.json") == 0
    assert Path("report.html").read_text() == "ba"
    assert not opened
    assert run("report", "a.json", "--open") == 0
    assert opened == [(folder / "report.html").as_uri()]
    assert "no browser" not in capsys.readouterr().err
    assert run("report", "a.json", "--open") == 0
    assert "no browser found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.json",), "cannot read 'none.json': No such file or directory"),
        (("text.json",), "'text.json': expected JSON: Expecting value: line 1 column 1"),
        (("binary.json",), "'binary.json': expected JSON"),
        (("other.json",), "'other.json': comparison: expected what Comparison.to_dict gives"),
        (("empty.json",), "'empty.json': expected one or more comparisons, found none"),
        (("a.json", "-o", "a.json/x.html"), "cannot write 'a.json/x.html'"),
        (("a.json", "-o", "x.pdf"), "report: expected a name that ends in .html or .htm or .md, found 'x.pdf'"),
    ],
)
def test_wrong_input_ends_in_a_message(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.json").write_text("no")
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    Path("other.json").write_text('{"rows": []}')
    Path("empty.json").write_text("[]")
    assert run("report", *arguments) == 2
    printed = capsys.readouterr().err
    assert message in " ".join(printed.split())
    assert "Traceback" not in printed
