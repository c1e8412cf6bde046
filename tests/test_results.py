"""`Output`: logits, predictions, accuracy, counts, and how it compares with and joins to others."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from nets import images_for, layer, small_net

from lava_aug.core.errors import InputError
from lava_aug.core.layers import Conv
from lava_aug.core.network import INPUT, Network
from lava_aug.core.results import Output, joined
from lava_aug.simulation.simulator import simulate


def by_hand() -> Output:
    """Two steps, three images, two classes; a readout quantum of 1/4."""
    net = small_net()
    net = net.replace(layers=(net.layers[0], net.layers[1].replace(quantum=0.25)))
    counts = {"input": np.full((2, 3), 5), "hidden": np.array([[1, 2, 3], [4, 0, 2]])}
    layers = {"hidden": np.array([[1, 2, 3], [4, 5, 6]]), "out": np.ones((2, 3), int)}
    return Output(
        network=net,
        v=np.array([[[4, 0], [0, 4], [8, 9]], [[2, 3], [-1, 5], [6, 6]]]),
        events=counts,
        spike_sum=counts,
        synops=layers,
        saturated=layers,
        capped=layers,
        spikes={"hidden": np.zeros((2, 3, 4), np.int32)},
    )


def test_sizes() -> None:
    assert (by_hand().num_steps, by_hand().num_images) == (2, 3)


def test_logits_are_in_the_units_of_the_ann() -> None:
    assert by_hand().logits.tolist() == [
        [[1.0, 0.0], [0.0, 1.0], [2.0, 2.25]],
        [[0.25, 0.375], [-0.125, 0.625], [0.75, 0.75]],
    ]
    assert by_hand().logits.dtype == np.float64


def test_predictions_take_the_first_of_equals() -> None:
    assert by_hand().predictions.tolist() == [[0, 1, 1], [1, 1, 0]]


def test_accuracy_after_every_step() -> None:
    assert by_hand().accuracy([0, 1, 0]).tolist() == [2 / 3, 2 / 3]
    assert by_hand().accuracy(np.array([0, 1, 1], np.uint8)).tolist() == [1.0, 1 / 3]
    assert by_hand().accuracy([1, 0, 2]).tolist() == [0.0, 1 / 3]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0, 1], "int64 of shape (2,)"),
        (3, "int64 of shape ()"),
        ([[0, 1, 1]], "int64 of shape (1, 3)"),
        ([0.0, 1.0, 1.0], "float64 of shape (3,)"),
        (["a", "b", "c"], "<U1 of shape (3,)"),
        ([True, True, False], "bool of shape (3,)"),
    ],
)
def test_labels_that_are_none(labels: Any, found: str) -> None:
    with pytest.raises(InputError) as caught:
        by_hand().accuracy(labels)
    assert str(caught.value) == f"labels: expected integers of shape (3,), one per image, found {found}"


def test_accuracy_of_maps_is_over_all_places() -> None:
    conv = Conv(weight=np.array([1, -1]).reshape(2, 1, 1, 1))
    net = Network(input_shape=(1, 1, 2), layers=(layer("out", INPUT, conv, bias=[[[-5]], [[5]]]),))
    found = simulate(net, np.array([[[[0, 9]]], [[[9, 9]]]], np.uint8), 1)
    assert found.v.tolist() == [[[[[-5, 4]], [[5, -4]]], [[[4, 4]], [[-4, -4]]]]]
    assert found.predictions.tolist() == [[[[1, 0]], [[0, 0]]]]
    assert found.accuracy([[[1, 1]], [[0, 0]]]).tolist() == [0.75]


def test_events_per_image_add_up_and_leave_the_input_out() -> None:
    assert by_hand().events_per_image().tolist() == [2.0, 4.0]
    readout_only = small_net().replace(layers=(layer("out", INPUT, small_net().layers[0].connections[0].synapse),))
    assert simulate(readout_only, images_for(readout_only), 3).events_per_image().tolist() == [0.0, 0.0, 0.0]


def changed(output: Output, field: str, name: str, index: tuple[int, ...], value: int) -> Output:
    """The same output but for one number."""
    values = {key: array.copy() for key, array in getattr(output, field).items()}
    values[name][index] = value
    return dataclasses.replace(output, **{field: values})


def test_equal_outputs_do_not_differ() -> None:
    assert by_hand().differences(by_hand()) == []


def test_differences_name_field_layer_place_and_values() -> None:
    one = by_hand()
    v = one.v.copy()
    v[1, 2, 0] = 7
    v[1, 2, 1] = 8
    assert one.differences(dataclasses.replace(one, v=v)) == ["v: 2 of 12 differ, first at (1, 2, 0): 6 and 7"]
    for field in ("events", "spike_sum", "synops", "saturated", "capped"):
        expected = [f"{field}['hidden']: 1 of 6 differ, first at (0, 1): 2 and 9"]
        assert one.differences(changed(one, field, "hidden", (0, 1), 9)) == expected
    expected = ["spikes['hidden']: 1 of 24 differ, first at (1, 0, 3): 0 and -1"]
    assert one.differences(changed(one, "spikes", "hidden", (1, 0, 3), -1)) == expected


def test_differences_in_what_there_is() -> None:
    one = by_hand()
    less = dataclasses.replace(one, spikes={})
    assert one.differences(less) == ["spikes['hidden']: only one of the two has it"]
    assert less.differences(one) == ["spikes['hidden']: only one of the two has it"]
    shorter = dataclasses.replace(one, v=one.v[:1])
    assert one.differences(shorter) == ["v: shapes (2, 3, 2) and (1, 3, 2)"]


def test_joined_puts_images_one_after_the_other() -> None:
    net = small_net()
    images = images_for(net, 6)
    parts = [simulate(net, images[a:b], 3, record=True) for a, b in ((0, 1), (1, 4), (4, 6))]
    found = joined(iter(parts))
    assert found.num_images == 6
    assert found.differences(simulate(net, images, 3, record=True)) == []
    assert joined(parts[:1]) is parts[0]
