"""What a comparison with peers found, and how it is told: tables with the best at each point marked, JSON."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lava_aug.core.tables import Table
from lava_aug.experiments.comparison import TOLERANCE
from lava_aug.experiments.rows import Curve

BEST = "*"
EVENTS = "pooling is computed in floats, and does not count, with SpikingJelly and sinabs"
BUDGETS = tuple(digit * 10**power for power in range(2, 7) for digit in (1, 2, 5))
"""Events per image at which accuracies are compared."""


@dataclasses.dataclass(frozen=True)
class Result(Curve):
    """What one contender reached: a `Curve`, with the time per image up to every step."""

    milliseconds: np.ndarray
    arithmetic: str
    note: str = ""

    def best_within(self, events: float) -> float | None:
        """Accuracy after the last step up to which no more events than these are spent; None if there is no such."""
        steps = np.flatnonzero(self.events <= events)
        return float(self.accuracy[steps[-1]]) if len(steps) else None


@dataclasses.dataclass(frozen=True)
class Found:
    """Everything that came out: results, errors by title, versions of packages."""

    results: tuple[Result, ...] = ()
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def __add__(self, other: "Found") -> "Found":
        return Found(self.results + other.results, self.errors | other.errors, self.versions | other.versions)


def merged(name: str, written: dict[str, Any]) -> Found:
    """What a peer's script wrote: results, and its modes that failed."""
    results, errors = [], {}
    for row in written["rows"]:
        if "error" in row:
            errors[row["title"]] = row["error"]
            continue
        arrays = {key: np.array(row[key]) for key in ("accuracy", "events", "milliseconds")}
        results.append(Result(row["title"], **arrays, arithmetic=row["arithmetic"], note=row["note"]))
    return Found(tuple(results), errors, {name: written["versions"]})


def mark(values: Sequence[float | None], texts: Sequence[str], best: Callable[..., float] = max) -> list[str]:
    """The texts with `BEST` behind those whose value is the best, ties included; None cannot be."""
    there = [value for value in values if value is not None]
    goal = best(there) if there else 0.0
    ends = [BEST if value is not None and same(value, goal) else " " for value in values]
    return [text + end for text, end in zip(texts, ends, strict=True)]


def same(one: float, other: float) -> bool:
    """Whether two accuracies, counted by different programs, are the same."""
    return math.isclose(one, other, rel_tol=1e-9)


def columns(head: Sequence[str], titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table of one row for each title, given by columns."""
    return Table(["", *(f"{text} " for text in head)], list(zip(titles, *cells, strict=True))).text()


def percent(accuracy: float | None) -> str:
    """Accuracy as it stands in tables."""
    return "-" if accuracy is None else f"{100 * accuracy:.2f}"


def accuracy_table(results: Sequence[Result], steps: Sequence[int]) -> str:
    """Accuracy after some steps, the best at each marked."""
    at = [[row.accuracy[step - 1] for row in results] for step in steps]
    cells = [mark(found, [percent(value) for value in found]) for found in at]
    return columns([str(step) for step in steps], [row.title for row in results], cells)


def budget_table(results: Sequence[Result]) -> str:
    """Best accuracy within a budget of events per image, the best at each marked."""
    first, last = max(row.events[0] for row in results), max(row.events[-1] for row in results)
    budgets = [budget for budget in BUDGETS if first / 10 <= budget < 2 * last]
    at = [[row.best_within(budget) for row in results] for budget in budgets]
    cells = [mark(found, [percent(value) for value in found]) for found in at]
    return columns([f"{budget:,}" for budget in budgets], [row.title for row in results], cells)


def number_table(results: Sequence[Result], steps: Sequence[int], of: str, form: str) -> str:
    """Events or milliseconds at some steps; nothing is marked, since less alone is not better."""
    cells = [[f"{getattr(row, of)[step - 1]:{form}} " for row in results] for step in steps]
    return columns([str(step) for step in steps], [row.title for row in results], cells)


def goal_table(results: Sequence[Result], goal: float) -> str:
    """What each needs for its accuracy to reach the goal and stay there, the least marked."""
    first = [row.first_step(goal) for row in results]
    needs: list[list[float | None]] = [
        [None if step is None else value(row, step) for row, step in zip(results, first, strict=True)]
        for value in (
            lambda row, step: step,
            lambda row, step: float(row.events[step - 1]),
            lambda row, step: float(row.milliseconds[step - 1]),
        )
    ]
    forms = (",.0f", ",.0f", ".2f")
    texts = [["never" if v is None else f"{v:{form}}" for v in found] for found, form in zip(needs, forms, strict=True)]
    cells = [mark(found, text, min) for found, text in zip(needs, texts, strict=True)]
    return columns(["steps", "events", "ms"], [row.title for row in results], cells)


def best_at(results: Sequence[Result], step: int) -> str:
    """Who is best after a step, in words."""
    best = max(row.accuracy[step - 1] for row in results)
    names = [row.title for row in results if same(row.accuracy[step - 1], best)]
    told = "all" if len(names) == len(results) else ", ".join(names)
    return f"  {step:3} {'step ' if step == 1 else 'steps'}  {percent(best)} %  {told}"


def report(found: Found, ann_accuracy: float, num_images: int, steps: Sequence[int]) -> str:
    """Everything as text."""
    parts = []
    if found.results:
        rows, goal = found.results, ann_accuracy - TOLERANCE - 1e-9
        parts += [
            f"{num_images} test images, one is {percent(1 / num_images)} points; ANN {percent(ann_accuracy)} %",
            f"Accuracy (%) after time steps; {BEST} best\n\n{accuracy_table(rows, steps)}",
            "Best\n" + "\n".join(best_at(rows, step) for step in steps),
            f"To stay within {100 * TOLERANCE:g} points of the ANN; {BEST} least\n\n{goal_table(rows, goal)}",
            f"Accuracy (%) by events per image; {BEST} best\n\n{budget_table(rows)}",
            f"Events per image after time steps; {EVENTS}\n\n{number_table(rows, steps, 'events', ',.0f')}",
            f"Milliseconds per image after time steps\n\n{number_table(rows, steps, 'milliseconds', '.2f')}",
            "\n".join(f"{row.title}: {row.arithmetic}; {row.note}" for row in rows),
        ]
    versions = [f"{name} {number}" for names in found.versions.values() for name, number in names.items()]
    parts += [f"Versions: {', '.join(dict.fromkeys(versions))}"] if versions else []
    parts += [f"Not compared: {title}: {error}" for title, error in found.errors.items()]
    return "\n\n".join(parts)


def as_json(found: Found, head: dict[str, Any]) -> str:
    """Everything as JSON, every step of every contender, behind what the run was."""
    rows = [{key: _plain(value) for key, value in dataclasses.asdict(row).items()} for row in found.results]
    return json.dumps({**head, "versions": found.versions, "errors": found.errors, "results": rows}, indent=2)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
