"""How outputs are named, and when they count as the model's."""

import collections
import dataclasses
from typing import Any

import pytest
import torch

from lava_aug.conversion.models import FAITHFUL, difference, outputs

A, B, C = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0])
Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Answer:
    """Of a model."""

    logits: Any
    loss: Any = None


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (A, {"": A}),
        (None, {}),
        ((A, None, B), {"0": A, "2": B}),
        ([A, (B, [C])], {"0": A, "1.0": B, "1.1.0": C}),
        ({"a": A, "b": {"c": B}, 3: C}, {"a": A, "b.c": B, "3": C}),
        (Pair(A, second=(B,)), {"first": A, "second.0": B}),
        (Answer(A), {"logits": A}),
        (Answer({"x": A}, B), {"logits.x": A, "loss": B}),
        (torch.return_types.max((A, B)), {"0": A, "1": B}),
        (5, {"": 5}),
    ],
)
def test_outputs_have_names(found: Any, names: dict[str, Any]) -> None:
    assert list(outputs(found)) == list(names)
    assert all(value is names[name] for name, value in outputs(found).items())


WANTED = torch.tensor([[100.0, 1.0], [100.0, 3.0]])  # of two images; the spread is 1, the size 100


@pytest.mark.parametrize(("factor", "near"), [(0.99, True), (1.01, False)])
def test_the_limit_is_a_part_of_the_spread_and_of_a_tenth_of_the_size(factor: float, near: bool) -> None:
    limit = FAITHFUL * (1 + 10)
    found = WANTED + torch.tensor([[0.0, factor * limit], [0.0, 0.0]])
    assert (difference({"": WANTED}, {"": found}) is None) == near


def test_the_worst_output_is_told() -> None:
    wanted = {"a": WANTED, "b": WANTED / 1000, "c": WANTED}
    found = {"a": WANTED + 0.02, "b": WANTED / 1000 + 0.01, "c": WANTED}
    apart = difference(wanted, found)
    assert str(apart) == "by up to 0.01 on calibration images, where output 'b' reaches 0.1"
    alone = difference({"": WANTED}, {"": WANTED * 2})
    assert alone is not None
    assert str(alone) == "by up to 100 on calibration images, where its output reaches 100"
    assert (alone.error, alone.size, alone.spread) == (100, 100, 1)


def test_a_single_image_has_its_size_for_spread() -> None:
    one = WANTED[:1]
    assert difference({"": one}, {"": one + 0.1}) is None
    assert difference({"": one}, {"": one + 0.12}) is not None


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_in_one_of_both_is_a_difference(value: float) -> None:
    broken = torch.tensor([[value, 1.0], [100.0, 3.0]])
    assert difference({"": broken}, {"": broken}) is None
    assert difference({"": WANTED}, {"": broken}) is not None


def test_zeros_are_zeros() -> None:
    zeros = torch.zeros(2, 3)
    assert difference({"": zeros}, {"": zeros}) is None
    assert difference({"": zeros}, {"": zeros + 1e-8}) is not None
    assert difference({"": zeros}, {"": torch.zeros(2, 4)}) is not None
