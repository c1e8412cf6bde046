"""More images than memory would hold: counts that are summed, few readouts, and images that are read batch by batch."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import weights
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, images_for, layer, networks, payloads_for, small_net
from torch import nn

from lava_aug.conversion.converter import convert
from lava_aug.core.errors import InputError
from lava_aug.core.layers import Dense
from lava_aug.core.network import INPUT, Network
from lava_aug.core.results import COUNTS, Output, joined
from lava_aug.experiments.diagnosis import diagnose
from lava_aug.experiments.running import ann_logits
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate


def summed(output: Output) -> dict[str, Any]:
    return {field: {name: found.tolist() for name, found in output.totals(field).items()} for field in COUNTS}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=50)
@given(data=st.data(), batch_size=st.integers(1, 4), presentation=st.sampled_from(["constant", "first"]))
def test_sums_are_those_of_the_counts_per_image(
    method: str, data: st.DataObject, batch_size: int, presentation: Any
) -> None:
    net = data.draw(networks(method))
    images = data.draw(payloads_for(net))
    each = simulate(net, images, 5, presentation=presentation)
    sums = simulate(net, images, 5, presentation=presentation, counts="sum", batch_size=batch_size)
    assert summed(sums) == summed(each)
    assert {found.shape for field in COUNTS for found in getattr(sums, field).values()} == {(5,)}
    assert np.array_equal(sums.v, each.v)
    assert sums.events_per_image().tolist() == each.events_per_image().tolist()
    assert sums.to_dict() == each.to_dict()
    assert sums.differences(each) != []  # they do not hold the same


@given(data=st.data(), steps=st.sets(st.integers(1, 6), min_size=1), margin=st.none() | st.floats(0.1, 2000))
def test_readouts_are_some_of_all(data: st.DataObject, steps: set[int], margin: float | None) -> None:
    """With early exit as well, after which readouts stay as they are."""
    net, chosen = small_net(), sorted(steps)
    images = data.draw(payloads_for(net))
    labels = np.zeros(len(images), np.int64)
    every = simulate(net, images, 6, stop_when=margin)
    some = simulate(net, images, 6, stop_when=margin, readouts=chosen, batch_size=2)
    rows = np.array(chosen) - 1
    assert some.readout_steps.tolist() == chosen
    assert np.array_equal(some.v, every.v[rows])
    assert np.array_equal(some.logits, every.logits[rows])
    assert np.array_equal(some.predictions, every.predictions[rows])
    assert some.accuracy(labels).tolist() == every.accuracy(labels)[rows].tolist()
    assert some.steps.tolist() == every.steps.tolist()
    assert summed(some) == summed(every)
    assert some.num_steps == 6
    assert some.to_dict(labels)["readout_steps"] == chosen


def test_the_last_readout() -> None:
    net, images = small_net(), images_for(small_net())
    last = simulate(net, images, 7, readouts="last")
    assert np.array_equal(last.v, simulate(net, images, 7).v[-1:])
    assert last.differences(simulate(net, images, 7, readouts=[7])) == []
    assert any(
        text.startswith("readout_steps: 1 of 1") for text in last.differences(simulate(net, images, 7, readouts=[6]))
    )


def test_parts_with_sums_are_joined_to_sums() -> None:
    net, images = small_net(), images_for(small_net(), 9)
    parts = [simulate(net, images[a:b], 3, counts="sum", stop_when=5) for a, b in ((0, 2), (2, 3), (3, 9))]
    whole = simulate(net, images, 3, counts="sum", stop_when=5)
    assert joined(iter(parts)).differences(whole) == []
    assert np.array_equal(joined(parts).steps, whole.steps)


def held(output: Output) -> int:
    """Bytes of all arrays."""
    parts = [found.nbytes for field in (*COUNTS, "spikes") for found in getattr(output, field).values()]
    return output.v.nbytes + sum(parts)


KEPT: dict[str, tuple[dict[str, Any], int]] = {
    "counts and all readouts": ({}, 64 * 8 * (2 * 2 + 3 * 2 + 3)),
    "all readouts": ({"counts": "sum"}, 64 * 8 * 3),
    "counts and one readout": ({"readouts": "last"}, 64 * 8 * (2 * 2 + 3 * 2) + 8 * 3),
    "one readout": ({"counts": "sum", "readouts": "last"}, 8 * 3),
}
"""Bytes for an image in 64 steps: of two layers with three outputs, one of which fires, as the input does."""


@pytest.mark.parametrize("kind", KEPT)
def test_bytes_for_an_image(kind: str) -> None:
    options, expected = KEPT[kind]
    few, many = (simulate(small_net(), images_for(small_net(), count), 64, **options) for count in (10, 30))
    assert (held(many) - held(few)) / 20 == expected


def wide_net() -> Network:
    """Images of 2,048 pixels, three outputs."""
    return Network(input_shape=(2048,), layers=(layer("out", INPUT, Dense(weight=weights(3, 2048, largest=9))),))


def converted(images: Any) -> tuple[Network, nn.Module]:
    """A network for such images, from its model, whose ranges are those of all images."""
    torch.manual_seed(0)
    model = nn.Linear(2048, 3).eval()
    return convert(model, images, percentile=100), model


def diagnosed(images: Any) -> list[float]:
    net, model = converted(images[:20])
    return [layer.total for layer in diagnose(net, model, images, 2, batch_size=50).layers]


FUNCTIONS: dict[str, Callable[[Network, Any], Any]] = {
    "convert": lambda net, x: converted(x)[0].readout.quantum,
    "diagnose": lambda net, x: diagnosed(x),
    "ann_logits": lambda net, x: ann_logits(converted(x[:20])[1], x, 50),
    "simulate": lambda net, x: simulate(net, x, 8, counts="sum", readouts="last", batch_size=50).v[-1],
    "settle": lambda net, x: settle(net, x, 8, batch_size=50).v,
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_memory_grows_by_little_more_than_a_readout_for_an_image(function: str, dtype: type, tmp_path: Path) -> None:
    """Of images in a file, those of a batch are read; of what comes out, 24 bytes each are kept, twice at the end."""
    net = wide_net()
    images = images_for(net, 2_000)
    images = images if dtype is np.uint8 else (images / 255).astype(dtype)
    np.save(tmp_path / "images.npy", images)
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    peaks, found = [], None
    for count in (500, 500, 2_000):  # the first time, much is imported and compiled
        tracemalloc.start()
        found = FUNCTIONS[function](net, stored[:count])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert np.array_equal(found, FUNCTIONS[function](net, images))
    assert (peaks[2] - peaks[1]) / 1_500 < 24 * 2 + 100 < 2048 / 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": "none"}, "counts: expected one of image, sum, found 'none'"),
        ({"counts": ["sum"]}, "counts: expected one of image, sum, found ['sum']"),
        *(
            ({"readouts": wrong}, f"readouts: expected 'all', 'last', or ascending steps from 1 to 4, found {wrong!r}")
            for wrong in ("first", 3, [], [0], [5], [2, 1], [1, 1], [1.0], [True], None)
        ),
    ],
)
def test_impossible_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(small_net(), images_for(small_net()), 4, **options)
    assert str(caught.value) == message
