"""Comparisons in JSON, whoever wrote them: valid ones, or our error; and pages and tables of them that do nothing."""

import copy
import csv
import io
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons import example

import lava_aug as la
from lava_aug.core.errors import FileError, InputError
from lava_aug.core.texts import as_markdown

SEEDS = 1500
"""Mutations in this test."""

SMALL = example("small", rows=2, layers=2, steps=3).to_dict()

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**400, 1.5, -0.5, 1e308, 1e-320, float("nan"), float("inf")),
    *(
        "",
        "text",
        "1",
        "-1",
        "x" * 5000,
        "\ud800",
        "\0\x1b[2J\n",
        "<script>",
        "=1+1",
        "nan",
        [],
        [[]],
        [[[]]],
        {},
        {"": 1},
    ),
    *(
        [1],
        [None],
        ["a"],
        [1, [2]],
        [[1, 2], [3]],
        [1.0] * 3,
        [float("nan")] * 3,
        [-1.0] * 3,
        [2.0] * 3,
        {"a": {"a": 1}},
    ),
    *({"1": 1.0}, {"0": 1.0}, {"99999999999999999999": 1.0}, {"1.5": 1.0}, {"²": 1.0}, {"-1": -1.0}),
]


def places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of all values, however deep."""
    yield path
    members = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in members:
        yield from places(value, (*path, key))


PLACES = list(places(SMALL))


def deep(depth: int) -> Any:
    """Lists and objects in each other."""
    found: Any = 1
    for level in range(depth):
        found = [found] if level % 2 else {"a": found}
    return found


def mutated(seed: int) -> Any:
    """A comparison in which one thing or a few are something else."""
    rng, found = random.Random(seed), copy.deepcopy(SMALL)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        path = rng.choice(PLACES)
        holder = found
        try:
            for key in path[:-1]:
                holder = holder[key]
            change(holder, path[-1], rng) if path else None
        except (KeyError, IndexError, TypeError, AttributeError):  # gone with the change before
            continue
        if not path:
            found = rng.choice(VALUES)
            break
    return found


def change(holder: Any, key: Any, rng: random.Random) -> None:
    """Another value, none, more of it, or another name for it."""
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(["x", "", "title", "1", "\ud800"])] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], list):
        holder[key] = (holder[key] * 2)[: rng.randrange(2 * len(holder[key]) + 1)]
    else:
        holder[key] = deep(rng.choice([2, 15, 16, 17, 500])) if kind == 3 else rng.choice(VALUES)


def use(found: la.experiments.Comparison) -> str:
    """All that pages and tables are made of, without figures."""
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == json.loads(json.dumps(found.to_dict()))
    assert la.experiments.Comparison.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == found.to_dict()
    from lava_aug.experiments import pages

    shown = [*found.tables(), *pages.layers_tables(found), pages.cases_table(found), pages.configuration_table(found)]
    text = found.to_csv()
    text.encode()
    assert np.isfinite(
        [float(value) for row in csv.reader(io.StringIO(text)) if row[3] != "step" for value in row[3:]]
    ).all()
    return "".join(cell for table in shown for row in table.rows for cell in row) + text


def test_mutations_give_comparisons_or_our_error(tmp_path: Path) -> None:
    read, refused, path = 0, [], tmp_path / "a.json"
    for seed in range(SEEDS):
        path.write_text(json.dumps(mutated(seed)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for found in la.experiments.Comparison.read(path):
                    assert use(found) if found.rows else not found.rows
            read += 1
        except FileError as error:
            refused.append(str(error))
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}")
    assert read > 100
    assert len(refused) > 500
    assert max(map(len, refused)) < 1000


@pytest.mark.parametrize("seed", range(0, 400, 40))
def test_what_is_read_can_be_drawn(seed: int) -> None:
    """Figures take long: a few."""
    for number in range(seed, seed + 40):
        try:
            found = la.experiments.Comparison.from_dict(mutated(number))
        except InputError:
            continue
        if found.rows and found.to_dict() != SMALL:
            assert found.to_html().startswith("<!DOCTYPE html>")
            return
    pytest.fail("nothing was read")


NAMED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "list for a comparison": (lambda c: [1], "comparison: expected an object with named members, found 1"),
    "missing": (lambda c: c.pop("ann_macs"), "comparison: 'ann_macs' is missing"),
    "text for rows": (lambda c: c.update(rows="abc"), "comparison/rows: expected a list, found 'abc'"),
    "accuracy in percent": (
        lambda c: c["rows"][1]["accuracy"].__setitem__(0, 99.0),
        "comparison/rows/1/accuracy: expected a number from 0 to 1, found 99.0",
    ),
    "length": (
        lambda c: c["rows"][0].update(energy=[1.0]),
        "comparison/rows/0/energy: expected 3 numbers, one for each step, found 1",
    ),
    "length in a layer": (
        lambda c: c["rows"][0]["layers"]["fc"].update(events=[1.0] * 4),
        "comparison/rows/0/layers/fc/events: expected 3 numbers, one for each step, found 4",
    ),
    "infinite": (
        lambda c: c.update(ann_energy=float("inf")),
        "ann_energy: expected a number from 0 to 1e+30",
    ),
    "not a number": (lambda c: c["rows"][0].update(seconds=float("nan")), "rows/0/seconds: expected a number"),
    "half an image": (lambda c: c.update(num_images=1.5), "comparison/num_images: expected a whole number, found 1.5"),
    "coefficient 0": (
        lambda c: c["rows"][0]["layers"]["fc"].update(coefficients={"0": 1}),
        "layers/fc/coefficients: expected coefficients of spikes, found '0'",
    ),
    "rows of a raster": (
        lambda c: c.update(raster={"a": [[1, 2], [3]]}),
        "raster/a: expected lists of numbers, of the same",
    ),
    "exits": (lambda c: c["rows"][0].update(exits=[[1, 2]]), "rows/0/exits: expected three numbers, found [1, 2]"),
    "infinite option": (
        lambda c: c["rows"][0].update(options={"a": [float("inf")]}),
        "rows/0/options/a: expected texts",
    ),
    "deep": (lambda c: c.update(configuration={"a": deep(17)}), "in each other"),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    make, message = NAMED[case]
    found = copy.deepcopy(SMALL)
    changed = make(found)
    (tmp_path / "a.json").write_text(json.dumps(changed if case.startswith("list") else found))
    with pytest.raises(FileError, match=rf"a\.json': .*{re.escape(message)}"):
        la.experiments.Comparison.read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "nul", "[1,", '"\\ud800"'])
def test_what_is_no_json_of_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FileError, match=r"a\.json': (expected JSON|comparison: expected)"):
        la.experiments.Comparison.read(tmp_path / "a.json")


# What is made of them

EVIL = "# <script>alert(1)</script> [x](javascript:y) | `a` *b* ~~~ \\ &amp; \x1b[2J\n\n# heading"


def evil() -> la.experiments.Comparison:
    """A comparison whose texts try to be something else."""
    found = example("small", rows=1, layers=2, steps=2).to_dict()
    found.update(title=EVIL, data=EVIL, configuration={"command": EVIL, EVIL: EVIL, "raster": {"row": EVIL}})
    found["rows"][0].update(title=EVIL, summary=EVIL, options={EVIL: EVIL})
    return la.experiments.Comparison.from_dict(found)


def test_markdown_shows_texts_as_they_are(tmp_path: Path) -> None:
    page, figure = evil().write_page(tmp_path / "a (b).md")
    text = page.read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("    "))  # code is shown as it is
    assert "<" not in body
    assert "](javascript" not in body
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Results", f"## {as_markdown(EVIL)}"]
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 2  # two tables
    assert f"(images/a%20%28b%29-1-{figure.name.partition('-1-')[2]})" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", r"\t=1"),
        ("\r\n=1", r"\r\n=1"),
        ("-1.5", "-1.5"),
        ("+2", "+2"),
        ("rate, vth_lo = -vth", "rate, vth_lo = -vth"),
        ('a "b", c', 'a "b", c'),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay(text: str, expected: str) -> None:
    found = example("small", rows=1, layers=2, steps=2).to_dict()
    found.update(title=text, data=text)
    found["rows"][0]["title"] = text
    comparison = la.experiments.Comparison.from_dict(found)
    rows = list(csv.reader(io.StringIO(comparison.to_csv())))
    assert [row[:3] for row in rows[1:]] == [[expected] * 3] * 2
    assert [float(row[5]) for row in rows[1:]] == comparison.rows[0].events.tolist()
