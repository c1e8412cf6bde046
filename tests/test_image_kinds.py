"""Images in all the forms in which arrays, tensors and pictures come: taken with their values, or refused in words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from nets import small_net
from PIL import Image

from lava_aug.conversion.converter import convert
from lava_aug.core.errors import InputError
from lava_aug.core.images import payloads
from lava_aug.core.network import Network
from lava_aug.core.streams import as_numpy
from lava_aug.experiments.diagnosis import diagnose
from lava_aug.experiments.tuning import tune
from lava_aug.simulation import planning
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate
from lava_aug.verification.differences import differences
from lava_aug.verification.verifying import verify

LEVELS = np.arange(252).reshape(42, 6).astype(np.uint8)


PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
"""``(H, W, C)``, of which three channels are taken."""


def picture(mode: str) -> Image.Image:
    return {
        "L": Image.fromarray(PICTURE[..., 0]),
        "RGB": Image.fromarray(np.ascontiguousarray(PICTURE[..., :3])),
        "RGBA": Image.fromarray(PICTURE),
    }[mode]


EXACT = torch.tensor(LEVELS // 128 / 2, dtype=torch.float32)
"""0 or 0.5, which every format holds."""

TENSORS: dict[str, Callable[[torch.Tensor], Any]] = {
    "sparse": lambda x: x.to_sparse(),
    "sparse rows": lambda x: x.to_sparse_csr(),
    "bfloat16": lambda x: x.bfloat16(),
    "half": lambda x: x.half(),
    "double": lambda x: x.double(),
    "gradients": lambda x: x.clone().requires_grad_(),
    "negative bit": lambda x: torch.view_as_complex(torch.stack([x, -x], -1)).conj().imag,
    "parameter": torch.nn.Parameter,
    "transposed": lambda x: x.T.contiguous().T,
    "list": list,
    "lists in a tuple": lambda x: tuple(list(row) for row in x),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_all_kinds(kind: str) -> None:
    found = payloads(small_net(), TENSORS[kind](EXACT))
    assert np.array_equal(found, (LEVELS // 128) * 128)
    assert found.dtype == np.uint8
    assert simulate(small_net(), TENSORS[kind](EXACT), 1).num_images == len(LEVELS)


ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "backwards": lambda x: x[:, ::-1][:, ::-1].copy()[::-1][::-1],
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "column by column": np.asfortranarray,
    "nothing masked": lambda x: np.ma.MaskedArray(x, mask=False),
    "list of arrays": list,
    "tuple of masked arrays": lambda x: tuple(np.ma.MaskedArray(row) for row in x),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "matrix": np.asmatrix,
    "the other way round": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.longdouble])
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_all_kinds(kind: str, dtype: type) -> None:
    images = LEVELS if dtype is np.uint8 else (LEVELS / 255).astype(dtype)
    net = small_net()
    given = ARRAYS[kind](images)
    assert payloads(net, given).tolist() == LEVELS.tolist()
    assert simulate(net, given, 2).differences(simulate(net, LEVELS, 2)) == []
    assert np.array_equal(settle(net, given, 2).v, settle(net, LEVELS, 2).v)


def test_images_from_right_to_left() -> None:
    net = small_net()
    for flipped in (LEVELS[..., ::-1], LEVELS[::-1], (LEVELS / 255)[..., ::-1]):
        plain = np.array(flipped.tolist(), flipped.dtype)
        assert simulate(net, flipped, 2).differences(simulate(net, plain, 2)) == []
        assert np.array_equal(settle(net, flipped, 2).v, settle(net, plain, 2).v)


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", TENSORS)
def test_conversion_diagnosis_and_tuning_take_all_kinds_too(kind: str) -> None:
    images, labels = TENSORS[kind](EXACT), torch.arange(len(EXACT)) % 3
    converted = convert(model(), images)
    expected = convert(model(), EXACT.numpy())
    assert differences(converted, expected) == []
    diagnoses = [diagnose(converted, model(), x) for x in (images, EXACT.numpy())]
    assert diagnoses[0] == diagnoses[1]
    tuned = [tune(model(), x, labels, resolutions=[0.25], num_steps=2) for x in (images, EXACT.numpy())]
    assert tuned[0].to_dict() == tuned[1].to_dict()


def test_pictures() -> None:
    grey, colours = (as_numpy([picture(mode)] * 2, "images") for mode in ("L", "RGB"))
    assert np.array_equal(grey, np.stack([PICTURE[None, ..., 0]] * 2))
    assert np.array_equal(colours, np.stack([PICTURE[..., :3].transpose(2, 0, 1)] * 2))
    with pytest.raises(InputError) as caught:
        as_numpy([picture("RGBA")], "images")
    assert str(caught.value) == (
        "images: expected PIL images of mode 'L' or 'RGB', found 'RGBA'; use convert('RGB') on it"
    )


def masked() -> Any:
    images = np.ma.MaskedArray(LEVELS[:2], mask=np.zeros((2, 6), bool))
    images[0, 1] = np.ma.masked
    return images


def plan(net: Network, images: Any) -> Any:
    return planning.plan(net, images)


def verify_simulator(net: Network, images: Any) -> Any:
    return verify(net, images, lava=False)


REFUSED: dict[str, tuple[Any, str]] = {
    "masked": (masked(), "images: expected numbers, found 1 masked value; fill them"),
    "list with masks": (list(masked()), "images: expected numbers, found 1 masked value; fill them"),
    "complex": (
        torch.zeros(2, 6, dtype=torch.complex64),
        "images: expected uint8 or floating point in [0, 1], found complex64",
    ),
    "objects": (
        np.full((2, 6), None),
        "images: expected an array, a tensor or a list of them, found ndarray of objects",
    ),
    "dictionary": ({"images": LEVELS}, "images: expected an array, a tensor or a list of them, found dict"),
    "two formats": (
        [LEVELS[0], LEVELS[0] / 255],
        "images: expected a list of arrays of one type, found float64 and uint8",
    ),
    "two sizes": (
        [LEVELS[0], LEVELS[0, :5]],
        "images: expected an array or tensor: all input arrays must have the same shape",
    ),
    "integers in a tensor": (
        torch.zeros(2, 6, dtype=torch.int64),
        "images: expected uint8 or floating point in [0, 1], found int64",
    ),
    "dates": (np.zeros((2, 6), "M8[s]"), "images: expected uint8 or floating point in [0, 1], found datetime64[s]"),
    "records": (
        np.zeros((2, 6), "u1,u1"),
        "images: expected uint8 or floating point in [0, 1], found [('f0', 'u1'), ('f1', 'u1')]",
    ),
    "empty": ([], "images: expected shape (B, 6), found (0,)"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("function", [payloads, simulate, settle, plan, verify_simulator])
def test_what_is_no_images_is_refused_by_all(function: Callable[..., Any], kind: str) -> None:
    images, message = REFUSED[kind]
    with pytest.raises(InputError) as caught:
        function(small_net(), images)
    assert str(caught.value) == message


@pytest.mark.parametrize("function", [payloads, simulate, settle])
def test_no_images_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"^images: expected an array, a tensor or a list of them, found NoneType$"):
        function(small_net(), None)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # torch 2.13 deprecates what users still have
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, 6, device="meta"),
        lambda: torch.quantize_per_tensor(torch.zeros(2, 6), 1, 0, torch.quint8),
    ],
)
def test_tensors_without_numbers_are_refused(make: Callable[[], torch.Tensor]) -> None:
    with pytest.raises(InputError, match=r"^images: expected an array or tensor: "):
        payloads(small_net(), make())


def test_a_list_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match=r"^images: expected an array"):
        payloads(small_net(), endless)
