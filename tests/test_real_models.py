"""Models as people write them: converted into themselves, or refused with the reason."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from complex_models import COMPLEX
from derived_models import DERIVED
from float_graph import images_of, lively
from graph_models import GRAPHS
from real_models import GROUPS, SHAPE
from refused_models import REFUSED
from torch import nn
from volume_models import VOLUMES

from lava_aug import ConversionError, Output, convert, settle, simulate
from lava_aug.conversion.models import outputs

pytestmark = pytest.mark.filterwarnings("ignore:layer .* is never active")  # such as exchanges of what is in order

CONVERTED = {
    f"{group}: {name}": found
    for group, table in {**GROUPS, "graphs": GRAPHS, "volumes": VOLUMES, "derived": DERIVED, "complex": COMPLEX}.items()
    for name, found in table.items()
}


def images(shape: tuple[int, ...]) -> torch.Tensor:
    """Of different colours: averages over maps of noise would all be alike."""
    colours = images_of((shape[0], *[1] * (len(shape) - 1)), 8, seed=2)
    return (images_of(shape, 8) * colours * 255).round().to(torch.uint8)


def answers(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: value.reshape(len(x), -1).numpy() for name, value in outputs(model(x / 255)).items()}


def logits(found: Output) -> dict[str, np.ndarray]:
    parts = found.heads or {"": found.logits}
    return {name: value[-1].reshape(len(value[-1]), -1) for name, value in parts.items()}


def centred_correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of what differs between images: a network that ignores them would have none."""
    if not np.ptp(wanted, axis=0).any():
        return float(not np.ptp(found, axis=0).any())
    found, wanted = (values - values.mean(0) for values in (found, wanted))
    return float(np.corrcoef(found.ravel(), wanted.ravel())[0, 1])


@pytest.mark.parametrize("name", CONVERTED)
def test_it_converts_into_itself(name: str) -> None:
    make, shape = CONVERTED[name]
    torch.manual_seed(0)
    model, x = lively(make()), images(shape)
    options: dict[str, Any] = {"weight_bits": None, "resolution": 1 / 512, "message_bits": 24}
    found, wanted = logits(simulate(convert(model, x, **options), x)), answers(model, x)
    assert list(found) == list(wanted)
    for head, values in wanted.items():
        assert centred_correlation(found[head], values) > 0.999
        assert np.abs(found[head] - values).max() < 0.02 * np.abs(values).max()


@pytest.mark.filterwarnings("ignore:layer .* its weights for what 'input' sends lie within")  # means of whole images
@pytest.mark.filterwarnings("ignore:layer .* its weights for what '.*minus' sends lie within")  # products of shares
@pytest.mark.parametrize("name", CONVERTED)
def test_in_integers_it_settles_where_it_runs(name: str) -> None:
    make, shape = CONVERTED[name]
    torch.manual_seed(0)
    model, x = lively(make()), images(shape)
    net = convert(model, x, resolution=1 / 64, num_steps=2, weight_scales="channel", message_bits=24)
    out = simulate(net, x)
    assert np.array_equal(settle(net, x).v, out.v[-1])
    assert out.v[-1].any()


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name: str) -> None:
    make, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(ConversionError) as caught:
        convert(lively(make()), images(SHAPE))
    assert re.match(message, str(caught.value)), str(caught.value)
