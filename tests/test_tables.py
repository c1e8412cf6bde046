"""One table in all its forms, and what notebooks, `print` and `repr` show of results."""

import io
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import example
from rich.console import Console

import lava_aug as la
from lava_aug.core.tables import Table, Tabular
from lava_aug.examples.digits import DigitsNet, load_digits

EVIL = "<script>alert('x')</script> | `a` & \x1b[2J"
SIZES = Table(["layer", "kind", "size"], [["conv 1", "a b", "7"], ["fc", "c", "1,024"]], "sizes", "all", left=["kind"])


class Cells(HTMLParser):
    """The rows of all tables in a text, their captions, and whether cells are aligned to the left."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.captions: list[str] = []
        self.left: list[list[bool]] = []
        self.tags: set[str] = set()
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
            self.left.append([])
        elif tag in ("td", "th"):
            self.left[-1].append("left" in (dict(attrs).get("style") or ""))
        if tag in ("td", "th", "caption"):
            self._into = self.rows[-1] if tag != "caption" else self.captions
            self._into.append("")

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "caption"):
            self._into = None


# The forms


def test_as_text() -> None:
    assert SIZES.text().splitlines() == [
        "sizes",
        "layer   kind   size",
        "-------------------",
        "conv 1  a b       7",
        "fc      c     1,024",
        "all",
    ]


def test_as_markdown() -> None:
    assert SIZES.markdown().splitlines() == [
        "sizes:",
        "",
        "| layer | kind | size |",
        "| --- | --- | ---: |",
        "| conv 1 | a b | 7 |",
        "| fc | c | 1,024 |",
        "",
        "all",
    ]


def test_as_html() -> None:
    found = Cells(SIZES.html())
    assert found.rows == SIZES.cells
    assert found.left == [[True, True, False]] * 3
    assert found.captions == ["sizes"]
    assert '<p class="note">all</p>' in SIZES.html()
    assert "id=" not in SIZES.html()
    in_a_page = Table(["a"], [["1"]], "c", name="t").html("p1")
    assert 'aria-labelledby="p1-t-caption"' in in_a_page
    assert '<caption id="p1-t-caption">c</caption>' in in_a_page


def test_on_the_console() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(SIZES.rich())
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines[0].split() == ["layer", "kind", "size"]
    assert lines[2:] == ["conv 1  a b       7", "fc      c     1,024"]


def test_texts_are_texts_in_every_form() -> None:
    evil = Table([EVIL, "b"], [[EVIL, EVIL]], EVIL, EVIL)
    assert Cells(evil.html()).tags == {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert Cells(evil.html()).rows[1] == [EVIL.replace("\x1b", "\\x1b")] * 2
    assert "<" not in evil.markdown()
    assert all(line.count("|") == 3 for line in evil.markdown().splitlines() if line.startswith("|"))
    assert "\x1b" not in evil.text() + evil.html() + evil.markdown()


# Results


@pytest.fixture(scope="module")
def results() -> dict[str, Tabular]:
    """One of each kind."""
    torch.manual_seed(0)
    digits, model = load_digits(), DigitsNet()
    net = la.convert(model, digits.train_images[:50])
    images, labels = digits.test_images[:8], digits.test_labels[:8]
    tuned = la.tune(model, digits.train_images[:50], labels, images=images, resolutions=[1, 1 / 8], num_steps=2)
    return {
        "Network": net,
        "Output": la.simulate(net, images, record=True),
        "Plan": la.plan(net, images),
        "Comparison": example(rows=6, layers=4),
        "Verification": la.verify(net, images[:1], model=model, lava=False),
        "Diagnosis": la.diagnose(net, model, images),
        "Tuned": tuned,
        "Preflight": la.check_loihi2(net, images),
    }


TOLD = {
    "Network": "<Network: 'augmapping', resolution 0.125, 4 time steps, 6 layers from 1x8x8 to 10>",
    "Output": "<Output: 8 images, 4 time steps, 6 layers, ",
    "Plan": "<Plan: 6 layers, 4 time steps, 8 images, 0 problems>",
    "Comparison": "<Comparison: 'mnist-lenet', 6 cases, 10,000 images, ANN 99.00 %>",
    "Verification": "<Verification: ok; spec and simulator equal, file equal, ",
    "Diagnosis": "<Diagnosis: 6 layers, 4 steps, 8 images, most added by '",
    "Tuned": "<Tuned: resolution ",
    "Preflight": "<Preflight: Loihi 2: no public limit is exceeded; ",
}


@pytest.mark.parametrize("name", TOLD)
def test_repr_is_one_short_line(name: str, results: dict[str, Tabular]) -> None:
    assert repr(results[name]).startswith(TOLD[name])
    assert len(repr(results[name])) < 200
    assert len(repr(results[name]).splitlines()) == 1


@pytest.mark.parametrize("name", TOLD)
def test_notebooks_show_the_tables(name: str, results: dict[str, Any]) -> None:
    found = Cells(results[name]._repr_html_())
    assert found.rows == [list(row) for table in results[name].tables() for row in table.cells]
    assert len(found.rows) >= 2


@pytest.mark.parametrize("name", sorted(set(TOLD) - {"Verification", "Preflight"}))
def test_print_shows_the_tables(name: str, results: dict[str, Tabular]) -> None:
    """Verifications and pre-flights have more to say."""
    assert str(results[name]) == "\n\n".join(table.text() for table in results[name].tables())


def test_parts_of_results_are_short_too(results: dict[str, Any]) -> None:
    net, comparison = results["Network"], results["Comparison"]
    weight = "<int8 (16, 1, 3, 3)>"
    assert weight in repr(net.layers[0])
    assert repr(net.layers[0].connections[0].synapse).startswith(f"Conv(weight={weight}")
    settled = la.settle(net, np.zeros((2, 1, 8, 8), np.uint8))
    assert repr(settled) == "<Settled: 2 images, 4 time steps, v int64 of shape (2, 10)>"
    row = comparison.rows[0]
    end = f"accuracy {100 * row.accuracy[-1]:.2f} %, {row.events[-1]:,.1f} events per image>"
    assert repr(row) == f"<Row: 'AugMapping 1/8', {row.num_steps} time steps, {end}"
    assert repr(row.layers["conv1"]).startswith("<LayerStatistics: 3,456 neurons, ")
    parts = [*net, *(layer.neuron for layer in net), *row.layers.values(), *results["Tuned"].points]
    assert max(len(repr(part)) for part in parts) < 300


def test_what_an_output_shows(results: dict[str, Any]) -> None:
    out = results["Output"]
    (table,) = out.tables()
    assert [row[0] for row in table.rows] == ["input", *(layer.name for layer in out.network)]
    name = out.network.layers[0].name
    fields = ("events", "spike_sum", "synops", "saturated", "capped")
    means = [f"{getattr(out, field)[name].sum() / 8:,.1f}" for field in fields]
    assert table.rows[1] == [name, *means]
    assert table.rows[-1][1:3] == ["-", "-"]  # a readout sends nothing
    assert table.caption == "8 images, 4 time steps; means per image"
