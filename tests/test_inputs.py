"""Models of several inputs: a dictionary of them stands for the images wherever images are taken."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset

import lava_aug as la
from lava_aug.conversion.models import with_one_input
from lava_aug.core.inputs import Input, inputs_of, joined, split
from lava_aug.experiments.energy import ann_cost

RNG = np.random.default_rng(0)
COUNT = 16
LABELS = np.arange(COUNT) % 5


class TwoMaps(nn.Module):
    """Colours and depth: joined along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.colours, self.near, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3), nn.Linear(4 * 16, 5)

    def forward(self, rgb: torch.Tensor, depth: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        x = self.colours(rgb).relu() + scale * self.near(depth).relu()
        return self.last(x.flatten(1))


class MapAndState(nn.Module):
    """An image and a row of sensors: joined as one row."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.sensors, self.last = nn.Conv2d(3, 4, 3), nn.Linear(7, 8), nn.Linear(4 * 16 + 8, 5)

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.eye(image).relu().flatten(1), self.sensors(state).relu()], 1))


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (COUNT, *shape), np.uint8)


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, np.ndarray], tuple[int, ...]]] = {
    "two maps": (TwoMaps, {"depth": pixels(1, 6, 6), "rgb": pixels(3, 6, 6)}, (4, 6, 6)),
    "a map and a row": (
        MapAndState,
        {"image": pixels(3, 6, 6), "state": RNG.random((COUNT, 7), np.float32)},
        (3 * 36 + 7,),
    ),
}


def wanted(model: nn.Module, images: Mapping[str, np.ndarray]) -> np.ndarray:
    given = {name: torch.tensor(x) / (255 if x.dtype == np.uint8 else 1) for name, x in images.items()}
    with torch.no_grad():
        return model(**given).numpy()


@pytest.mark.parametrize("case", CASES)
def test_a_dictionary_stands_for_the_images(case: str, tmp_path: Path) -> None:
    make, images, shape = CASES[case]
    model = make().eval()
    net = la.convert(model, images, resolution=1 / 256, num_steps=1)
    assert net.inputs == tuple(Input(name, x.shape[1:]) for name, x in images.items())
    assert net.input_shape == shape
    la.save(net, tmp_path / "several.net")
    assert la.load(tmp_path / "several.net") == net
    assert f"inputs: {', '.join(name for name, _ in net.inputs)}".split(",")[0] in net.summary()
    out = la.simulate(net, dict(reversed(images.items())))
    assert np.abs(out.logits[-1] - wanted(model, images)).max() < 0.02 * wanted(model, images).std()
    assert np.array_equal(la.settle(net, images).v, out.v[-1])
    assert la.diagnose(net, model, images).worst[0].total < 0.05
    assert ann_cost(model, images).neurons > 0


class Samples(Dataset[Any]):
    """Dictionaries, and labels, one by one."""

    def __init__(self, images: Mapping[str, np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        return {name: x[index] for name, x in self.images.items()}, int(LABELS[index])


FORMS: dict[str, Callable[[Mapping[str, np.ndarray]], Any]] = {
    "dictionary and labels": lambda images: (images, LABELS),
    "data set": Samples,
    "list of samples": lambda images: [Samples(images)[index] for index in range(COUNT)],
    "DataLoader": lambda images: DataLoader(Samples(images), batch_size=5),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_in_every_form_of_images(case: str, form: str) -> None:
    make, images, _ = CASES[case]
    torch.manual_seed(0)
    model = make()
    net, form_of = la.convert(model, images), FORMS[form]
    assert la.convert(model, form_of(images)).replace(fidelity=net.fidelity) == net
    out = la.simulate(net, form_of(images), batch_size=3)
    assert out.differences(la.simulate(net, images)) == []
    assert out.labels is not None
    assert out.labels.tolist() == LABELS.tolist()


def test_compare_and_tune() -> None:
    make, images, _ = CASES["two maps"]
    model = make()
    predicted = wanted(model, images).argmax(1)
    cases = [la.experiments.Case("fine", 1, {"resolution": 1 / 512})]
    compared = la.experiments.compare(model, images, (images, predicted), cases=cases)
    assert compared.rows[0].accuracy[-1] > 0.9
    tuned = la.tune(model, (images, predicted), num_steps=1, resolutions=[1 / 256])
    assert [name for name, _ in tuned.network.inputs] == ["depth", "rgb"]


@given(st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=4), st.integers(1, 3))
def test_what_is_joined_is_split_again(shapes: list[tuple[int, ...]], count: int) -> None:
    parts = {f"x{index}": RNG.random((count, *shape)) for index, shape in enumerate(shapes)}
    inputs = inputs_of(parts)
    found = split(torch.tensor(joined(parts, inputs, "images")), inputs)
    for name, part in parts.items():
        np.testing.assert_array_equal(found[name].numpy(), part)


def test_layers_keep_their_names_and_the_model_stays_as_it_is() -> None:
    model, images, _ = CASES["two maps"]
    made = model()
    names = [layer.name for layer in la.convert(made, images)]
    assert {"colours", "near", "last"} < set(names)
    assert type(made) is TwoMaps
    joint: nn.Module = with_one_input(made, inputs_of(images))
    assert dict(joint.named_modules()).keys() == dict(made.named_modules()).keys()


MAPS = CASES["two maps"][1]
UNUSABLE: dict[str, tuple[Any, str]] = {
    "one is missing": ({"depth": MAPS["depth"]}, r"images: expected the inputs ['depth', 'rgb'], found ['depth']"),
    "another shape": (
        {**MAPS, "depth": MAPS["rgb"]},
        f"images['depth']: expected shape (B, 1, 6, 6), found ({COUNT}, 3, 6, 6)",
    ),
    "fewer of one": (
        {**MAPS, "rgb": MAPS["rgb"][:3]},
        f"images: expected inputs of the same number of samples, found {{'depth': {COUNT}, 'rgb': 3}}",
    ),
    "numbers": ({"depth": 1, "rgb": 2}, "images: expected a batch for every input, found numbers"),
    "another type": ({**MAPS, "rgb": [[None]]}, "images['rgb']: "),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_inputs(case: str) -> None:
    net = la.convert(TwoMaps(), MAPS)
    images, message = UNUSABLE[case]
    with pytest.raises(la.InputError) as caught:
        la.simulate(net, images)
    assert str(caught.value).startswith(message)


def test_other_names_than_the_models() -> None:
    images = {"left": MAPS["rgb"], "depth": MAPS["depth"]}
    with pytest.raises(la.ConversionError, match=r"^model: expected inputs by the names that forward\(\) gives"):
        la.convert(TwoMaps(), images)
    single = la.convert(nn.Linear(3, 2), RNG.random((4, 3)))
    with pytest.raises(la.InputError, match=r"^images: "):
        la.simulate(single, {"x": RNG.random((4, 3))})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((("a", (3,)), ("b", (2,))), r"inputs of shapes \[\(3,\), \(2,\)\] do not make up the input's shape \(3,\)"),
        ((("a", (2,)), ("a", (1,))), r"inputs: names are used twice: \['a', 'a'\]"),
    ],
)
def test_inputs_must_fit_the_network(inputs: Any, message: str) -> None:
    net = la.convert(nn.Linear(3, 2), RNG.random((4, 3)))
    with pytest.raises(la.NetworkError, match=message):
        net.replace(inputs=inputs)
