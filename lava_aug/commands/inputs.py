"""Shared options and arguments of the commands: images, labels, models and networks."""

import importlib
import sys
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from numpy.typing import NDArray

from lava_aug.core.errors import ConversionWarning, InputError
from lava_aug.core.files import has_array, is_file, read_array
from lava_aug.core.texts import brief
from lava_aug.examples.datasets import HELD_OUT, LOADERS, load_images, split

IMAGES_HELP = (
    ".npy with images (B, C, H, W), uint8 or in [0, 1]; or .npz with 'images'; or a data set and its folder, as in "
    "MNIST:data, for its test images"
)
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="a pretrained network, such as mnist-lenet; module:factory, such as lava_aug.examples.digits:DigitsNet; "
        "or an ONNX file (.onnx)"
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", "-w", help="state_dict (.pt), loaded with weights_only")
]
ImagesOption = Annotated[str, typer.Option("--images", help=IMAGES_HELP)]
CalibrationOption = Annotated[
    str, typer.Option("--calibration", "-c", help="as --images; for a data set, its held-out training images")
]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help=".npy with integer classes; default 'labels' in the .npz, if present")
]
StepsOption = Annotated[
    int | None, typer.Option("--num-steps", "-T", help="time steps per image; default the network's own")
]
ResultOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="write v, predictions and counts per layer to this .npz")
]
MeanOption = Annotated[
    str | None,
    typer.Option("--mean", help="the model's normalisation: one mean, or one per channel"),
]
StdOption = Annotated[str | None, typer.Option("--std", help="standard deviation, as --mean")]
FigureOption = Annotated[Path | None, typer.Option("--figure", help="write a figure to this file (.png, .svg, .pdf)")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
LayersOption = Annotated[
    int | None, typer.Option("--num-layers", help="for lava-dl's files: read only the first layers, this many")
]
NetworkArgument = Annotated[Path, typer.Argument(help="a network file (.net)", show_default=False)]


def number(text: str | float) -> float:
    """A number from a text such as "0.125" or "1/8"."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"expected a number such as 0.125 or 1/8, found {text!r}") from None


def read_spiking(path: Path) -> Any:
    """A spiking network of ours, from one of our files or a NIR graph."""
    import lava_aug as la

    net = la.read_network(path)
    if not isinstance(net, la.Network):
        raise InputError(
            f"{str(path)!r}: expected a network of lava-aug, found a {net.kind}; use info, simulate or run"
        )
    return net


def read_images(source: str, labels: Path | None = None, *, train: bool = False) -> tuple[Any, NDArray[Any] | None]:
    """Images and, if they are there, labels: from a file, or a data set's test images or held-out training images."""
    name, colon, root = source.partition(":")
    if colon and name in LOADERS:
        data = load_images(name, root, train)
        return split(data, HELD_OUT[name])[1] if train else data
    return _from_file(Path(source), labels)


def source_of(model: str, data: str) -> str:
    """What `read_images` takes: a file, or a data set and its folder."""
    from lava_aug.examples.zoo import ZOO

    name, colon, _ = data.partition(":")
    if (colon and name in LOADERS) or is_file(data):
        return data
    if model in ZOO:
        return f"{ZOO[model].data}:{data}"
    raise InputError(
        f"--data {data!r}: expected a file, or one of {', '.join(LOADERS)} and its folder, as in MNIST:data"
    )


def read_training(source: str, labels: Path | None = None) -> tuple[Any, Any]:
    """Labelled images to train on, and, of a data set that has more, those that its network has not learned from."""
    name, colon, root = source.partition(":")
    if colon and name in LOADERS:
        data = load_images(name, root, train=True)
        train, held_out = split(data, HELD_OUT[name])
        return (train, held_out) if len(train.images) else (data, None)
    return read_labelled(source, labels), None


def read_labelled(source: str, labels: Path | None = None, *, train: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    """`read_images` with labels."""
    images, classes = read_images(source, labels, train=train)
    if classes is None:
        raise InputError(f"{source!r}: expected labels with the images; give them with --labels")
    return images, classes


def _from_file(path: Path, labels: Path | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    images = read_array(path, "images")
    if labels is None and not has_array(path, "labels"):
        return images, None
    return images, read_array(labels or path, "labels")


def read_model(name: str, weights: Path | None) -> Any:
    """A pretrained network, or a model from ``module:factory``, with weights if they are given, or of an ONNX file."""
    if name.endswith(".onnx"):
        return _from_onnx(name, weights)
    if ":" not in name:
        model = _from_zoo(name)
    else:
        model = _from_factory(name)
        if weights is None and _is_random(model, _from_factory(name)):
            warnings.warn(f"model {name!r} has random weights; give trained ones with --weights", ConversionWarning, 2)
    if weights is not None:
        _load_weights(model, weights)
    return model


def _is_random(model: Any, again: Any) -> bool:
    """Whether two models of one factory differ, as they do unless it loads weights."""
    import torch

    if not isinstance(model, torch.nn.Module):
        return False
    one, other = model.state_dict(), again.state_dict()
    return any(not torch.equal(value, other[name]) for name, value in one.items())


def _from_onnx(name: str, weights: Path | None) -> Any:
    from lava_aug.conversion.onnx_files import as_module

    if weights is not None:
        raise InputError(f"--weights: an ONNX file has its own; leave out {str(weights)!r}")
    return as_module(name)


def _from_zoo(name: str) -> Any:
    from lava_aug.examples.zoo import ZOO, pretrained

    if name not in ZOO:
        raise InputError(f"model {name!r}: expected one of {', '.join(ZOO)}, module:factory, or FILE.onnx")
    return pretrained(name).model


def _from_factory(name: str) -> Any:
    module, _, factory = name.partition(":")
    if not module or not factory:
        raise InputError(f"model {name!r}: expected module:factory, for example lava_aug.examples.digits:DigitsNet")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"model {name!r}: {error}") from error
    finally:
        sys.path.remove("")


def _load_weights(model: Any, path: Path) -> None:
    where = f"weights {str(path)!r}"
    state = _state_dict(path, where)
    try:
        model.load_state_dict(state)
    except Exception as error:  # what models do with what they are not made for
        text = " ".join(str(error).split())
        raise InputError(f"{where}: do not fit this model: {text[:300]}") from error


def _state_dict(path: Path, where: str) -> dict[str, Any]:
    """Tensors by name, and nothing else: whatever is executed when it is read is refused."""
    import pickle

    import torch

    try:
        state = cast(Any, torch).load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{where}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:  # torch's own text says how to have it executed
        raise InputError(
            f"{where}: damaged, or holds more than tensors, which is not loaded, as it could execute code; write a "
            "state_dict: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # torch, zipfile and pickle raise nearly everything on damaged files
        text = " ".join(f"{type(error).__name__} {error}".split())
        text = text.partition("weights_only")[0]  # torch's advice is to have it executed
        raise InputError(f"{where}: damaged, or not written by torch.save: {text[:200]}") from error
    entries = cast("dict[Any, Any]", state if isinstance(state, dict) else {None: state})
    if not all(_is_state(name, value) for name, value in entries.items()):
        kinds = sorted({type(value).__name__ for value in entries.values()})
        raise InputError(f"{where}: expected a state_dict, which maps names to tensors, found {brief(kinds)}")
    return entries


def _is_state(name: Any, value: Any) -> bool:
    return isinstance(name, str) and (hasattr(value, "untyped_storage") or name.endswith("_extra_state"))


def normalization(mean: str | None, std: str | None) -> tuple[list[float], list[float]] | None:
    """Numbers from texts such as "0.5" and "0.485,0.456,0.406"."""
    if mean is None and std is None:
        return None
    try:
        return _numbers(mean or "0"), _numbers(std or "1")
    except ValueError:
        raise InputError(f"--mean, --std: expected comma-separated numbers, found {mean!r} and {std!r}") from None


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
