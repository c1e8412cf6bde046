"""Every operation: its float layers are the model, and so is the converted network, with each method's neurons."""

from typing import Any

import numpy as np
import pytest
import torch
from convert_models import correlation, largest_error
from float_graph import images_of, output_of, traced
from function_models import CASES as FUNCTIONS
from operation_models import CASES as OPERATIONS
from operation_models import Case

from lava_aug import convert, simulate
from lava_aug.conversion import operations
from lava_aug.conversion.methods import METHODS

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

CASES = OPERATIONS | FUNCTIONS

ALL = pytest.mark.parametrize("name", CASES)


def bytes_of(case: Case, count: int = 16) -> torch.Tensor:
    return (images_of(case.shape, count) * 255).round().to(torch.uint8)


@ALL
@pytest.mark.parametrize("method", METHODS)
def test_float_layers_are_the_model(name: str, method: str) -> None:
    traced(CASES[name].model(), CASES[name].shape, needs=METHODS[method].needs)


def answers(name: str, num_steps: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the converted network and the model give, both of the same shape."""
    case = CASES[name]
    model, images = case.model(), bytes_of(case)
    net = convert(model, images, **options)
    wanted = output_of(model, images / 255)
    return simulate(net, images, num_steps).logits[-1].reshape(wanted.shape), wanted


@ALL
def test_floats_approach_the_model(name: str) -> None:
    found, wanted = answers(name, 4, resolution=1 / 512, weight_bits=None, percentile=100)
    assert largest_error(found, wanted) < 0.02


@ALL
def test_eight_bits_stay_near_the_model(name: str) -> None:
    found, wanted = answers(name, 16, weight_scales="channel", percentile=100)
    # Terms of a sum share their bits, and so have few where spikes of one source stand for much less than others.
    assert correlation(found, wanted) > 0.97


@ALL
@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_ordinary_spikes_approach_the_model(name: str, method: Any) -> None:
    found, wanted = answers(name, 64, method=method, weight_bits=None, percentile=100)
    assert correlation(found, wanted) > 0.99


def test_a_handler_says_what_it_converts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "OPERATIONS", {})

    @operations.converts("one", "other")
    def handler(step: Any, x: Any) -> Any:
        return step, x

    assert operations.OPERATIONS["one"] is operations.OPERATIONS["other"] is handler
    with pytest.raises(ValueError, match=r"^other has a handler already: handler$"):
        operations.converts("other")(handler)
